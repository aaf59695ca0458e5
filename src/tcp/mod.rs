//! TCP (RFC 9293 and its companions). Skeleton.
pub mod assembler;
pub mod cc;
pub mod config;
pub mod info;
pub mod options;
pub mod recovery;
pub mod recv;
pub mod recv_buffer;
pub mod rto;
pub mod rtt;
pub mod segment;
pub mod send;
pub mod send_buffer;
pub mod seq;
pub mod state;
pub mod tuple;

pub use config::TcpConfig;
pub use info::TcpInfo;
pub use options::{Keepalive, TcpOptions};

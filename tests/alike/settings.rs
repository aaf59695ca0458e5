//! The settings that a TCP socket of any kind has: connected, listening, or neither yet.

use std::io;
use std::time::Duration;

macro_rules! settings {
    ($($set:ident $get:ident: $kind:ty;)*) => {
        /// A TCP socket of either make.
        pub trait Settings {
            $(
                fn $set(&mut self, value: $kind) -> io::Result<()>;
                fn $get(&self) -> io::Result<$kind>;
            )*

            fn bind_device(&mut self, name: Option<&str>) -> io::Result<()>;
            fn device(&self) -> io::Result<Option<String>>;
            fn kind(&self) -> io::Result<u32>;
            fn is_listener(&self) -> io::Result<bool>;
            fn pending_error(&self) -> io::Result<Option<io::Error>>;
            /// By its number in TCP_INFO.
            fn state(&self) -> io::Result<u32>;
            fn mtu(&self) -> io::Result<u32>;
        }
    };
}

settings! {
    set_nodelay nodelay: bool;
    set_cork cork: bool;
    set_quick_ack quick_ack: bool;
    set_reuse_address reuse_address: bool;
    set_reuse_port reuse_port: bool;
    set_oob_inline oob_inline: bool;
    set_keepalive keepalive: bool;
    set_mark mark: u32;
    set_syn_retries syn_retries: u32;
    set_ttl ttl: u32;
    set_tos tos: u32;
    set_mtu_discovery mtu_discovery: u32;
    set_recv_lowat recv_lowat: usize;
    set_recv_buffer_size recv_buffer_size: usize;
    set_send_buffer_size send_buffer_size: usize;
    set_window_clamp window_clamp: Option<u32>;
    set_notsent_lowat notsent_lowat: Option<u32>;
    set_linger linger: Option<Duration>;
    set_linger2 linger2: Option<Duration>;
    set_user_timeout user_timeout: Option<Duration>;
    set_defer_accept defer_accept: Option<Duration>;
    set_read_timeout read_timeout: Option<Duration>;
    set_write_timeout write_timeout: Option<Duration>;
}

//! udp: to be written by the wire part.

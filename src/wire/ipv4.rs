//! ipv4: to be written by the wire part.

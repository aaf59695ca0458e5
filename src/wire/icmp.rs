//! icmp: to be written by the wire part.

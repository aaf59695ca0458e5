//! What differs from the kernel on purpose; `docs/differences.md` says it to users.

/// How many there may be.
const MOST: usize = 15;

/// One step of one case at which this stack does something else than the kernel, for a reason.
pub struct Difference {
    pub case: &'static str,
    pub step: &'static str,
    pub kernel: &'static str,
    pub ours: &'static str,
    /// Not every kernel does so.
    pub varies: bool,
    pub reason: &'static str,
}

pub const DIFFERENCES: &[Difference] = &[
    Difference {
        case: "datagrams::connect_to_port_zero",
        step: "connect",
        kernel: "Ok(())",
        ours: "Err(InvalidInput)",
        varies: false,
        reason: "The kernel takes it, but such a socket neither hears anybody nor knows a peer. A mistake is told where it is made.",
    },
    Difference {
        case: "listeners::bind_to_a_group",
        step: "bind",
        kernel: "Ok(())",
        ours: "Err(AddrNotAvailable (99))",
        varies: false,
        reason: "Nobody can connect to a group (RFC 9293 MUST-57), so nobody can listen there; over IPv6 the kernel refuses it, too.",
    },
    Difference {
        case: "listeners::bind_to_broadcast",
        step: "bind",
        kernel: "Ok(())",
        ours: "Err(AddrNotAvailable (99))",
        varies: false,
        reason: "As with a group: no connection to it is ever accepted.",
    },
    Difference {
        case: "streams::ttl_out_of_range",
        step: "most",
        kernel: "Ok(())",
        ours: "Err(InvalidInput)",
        varies: false,
        reason: "std casts the number to -1, which means the default to the kernel. Nobody who writes u32::MAX wants 64.",
    },
    Difference {
        case: "streams::read_into_nothing",
        step: "without data",
        kernel: "Err(WouldBlock (11))",
        ours: "Ok(0)",
        varies: true,
        reason: "Some kernels wait for data before they find that there is no room for any. There is nothing to wait for.",
    },
    Difference {
        case: "urgent::oob_inline_by_default",
        step: "inline",
        kernel: "Ok(false)",
        ours: "Ok(true)",
        varies: false,
        reason: "RFC 6093 4 wants urgent data in line: a byte that leaves the stream is a byte that programs lose which know nothing of it.",
    },
    Difference {
        case: "flags::datagram_oob_is_refused",
        step: "send",
        kernel: "Ok(1)",
        ours: "Err(Unsupported (95))",
        varies: false,
        reason: "Nothing in a datagram can be urgent. The kernel says so over IPv4, and over IPv6 it ignores the flag.",
    },
];

/// Whether the table is in order: short, each with a reason, and about a case that there is among `names`.
pub fn check(names: &[&str]) -> Result<(), String> {
    if DIFFERENCES.len() > MOST {
        return Err(format!("{} differences", DIFFERENCES.len()));
    }
    for difference in DIFFERENCES {
        if difference.reason.is_empty() || !names.contains(&difference.case) {
            return Err(format!("{}: no reason, or no such case", difference.case));
        }
    }
    let page = include_str!("../../docs/differences.md");
    if let Some(d) =
        DIFFERENCES.iter().find(|d| !page.contains(&format!("| `{}` |", d.case)) || !page.contains(d.reason))
    {
        return Err(format!("docs/differences.md does not say why {} differs", d.case));
    }
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two cases are called {}", pair[0])),
        None => Ok(()),
    }
}

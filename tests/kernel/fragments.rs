//! Datagrams and echoes of every size, cut by the kernel and by us.

use crate::harness::{Test, ipv6_up, noise, succeed};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use tunstack::device::tun::Tun;
use tunstack::net::Host;
use tunstack::wire::Offloads;

pub const TESTS: &[Test] = &[
    Test { name: "fragments::pings_of_every_size", tools: &["ip", "ping"], limit: 60, body: pings },
    Test { name: "fragments::datagrams_of_every_size", tools: &["ip"], limit: 60, body: datagrams },
];

const KERNEL: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
const STACK: [&str; 2] = ["192.0.2.2", "2001:db8::2"];

/// A host on a link of `mtu` bytes, with both families if that is enough for IPv6.
fn host(name: &str, mtu: usize, offloads: Offloads) -> Host {
    let device = Tun::open(name, mtu, offloads).expect("opening a TUN");
    succeed(5, "ip", &["link", "set", name, "mtu", &mtu.to_string(), "up"]);
    succeed(5, "ip", &["address", "add", "192.0.2.1/24", "dev", name]);
    let mut builder = Host::builder().address("192.0.2.2/24");
    if mtu >= 1280 {
        ipv6_up(name, "2001:db8::1/64");
        builder = builder.address("2001:db8::2/64");
    }
    builder.start(device).expect("starting the host")
}

/// Every boundary of a link of `mtu` bytes, `header` of them before the payload in a fragment, and `own` more in the
/// first one, up to `most` bytes of data.
fn sizes(mtu: usize, header: usize, own: usize, most: usize) -> Vec<usize> {
    let each = (mtu - header) / 8 * 8;
    let around = [mtu - header - own, each - own, 2 * each - own, 3 * each - own, 10 * each - own, 32_768, most];
    let mut sizes: Vec<usize> = around.iter().flat_map(|&n| n.saturating_sub(1)..=n + 1).collect();
    sizes.extend([0, 1, 7, 8, 9, 16, 17, 500]);
    sizes.retain(|&size| size <= most);
    sizes
}

/// 1122-36, 4443-9: `ping` compares every byte of the answer.
fn pings() {
    for (mtu, offloads) in [(1500, Offloads::ALL), (576, Offloads::NONE), (1280, Offloads::NONE)] {
        let host = host("frag0", mtu, offloads);
        let mut count = 0;
        for (family, (flag, header)) in [("-4", 20), ("-6", 48)].into_iter().enumerate() {
            if family == 1 && mtu < 1280 {
                continue;
            }
            for size in sizes(mtu, header, 8, 65_507) {
                let size = size.to_string();
                let said = succeed(20, "ping", &[flag, "-c", "1", "-W", "15", "-s", &size, STACK[family]]);
                assert!(said.contains("1 received") && !said.contains("wrong data"), "{said}");
                count += 1;
            }
        }
        let stats = host.stats();
        assert!(stats.ip.reassembled > 10 && stats.ip.reassembled == stats.ip.fragmented, "{:?}", stats.ip);
        assert!(count > 20, "only {count} sizes");
        drop(host);
    }
}

fn datagrams() {
    for (mtu, offloads) in [(1500, Offloads::ALL), (1500, Offloads::NONE), (576, Offloads::NONE), (9000, Offloads::ALL)]
    {
        let host = host("frag0", mtu, offloads);
        for (family, (header, most)) in [(20, 65_507), (48, 65_487)].into_iter().enumerate() {
            if family == 1 && mtu < 1280 {
                continue;
            }
            let at: SocketAddr = SocketAddr::new(STACK[family].parse().expect("an address"), 7);
            let ours = host.bind_udp(at).expect("a free port");
            ours.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
            let kernels = UdpSocket::bind(SocketAddr::new(KERNEL[family].parse().expect("an address"), 0));
            let kernels = kernels.expect("binding");
            kernels.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
            let mut buf = vec![0; 70_000];
            for size in sizes(mtu, header, 8, most) {
                let sent = noise(size as u64, size);
                kernels.send_to(&sent, at).unwrap_or_else(|e| panic!("the kernel's {size} bytes: {e}"));
                let (n, from) = ours.recv_from(&mut buf).unwrap_or_else(|e| panic!("{size} bytes over {mtu}: {e}"));
                assert!(buf[..n] == sent, "{size} bytes to us over {mtu}");
                ours.send_to(&buf[..n], from).expect("sending them back");
                let (n, _) =
                    kernels.recv_from(&mut buf).unwrap_or_else(|e| panic!("{size} bytes back over {mtu}: {e}"));
                assert!(buf[..n] == sent, "{size} bytes from us over {mtu}");
            }
            // The kernel sends no more than this over IPv6, but it takes what the header can say.
            let longest = noise(9, [65_507, 65_527][family]);
            let to = kernels.local_addr().expect("its address");
            assert_eq!(ours.send_to(&longest, to).expect("sending the longest"), longest.len());
            let (n, _) = kernels.recv_from(&mut buf).expect("the longest there is");
            assert!(buf[..n] == longest);
            assert!(ours.send_to(&[0; 65_528], to).is_err());
        }
        let stats = host.stats();
        assert!(stats.ip.fragmented > stats.ip.reassembled && stats.ip.reassembled > 5, "{:?}", stats.ip);
        assert_eq!(stats.ip.reassembly_evicted, 0);
        drop(host);
    }
}

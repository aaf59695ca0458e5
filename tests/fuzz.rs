//! The corpora of the fuzz targets, run again. `scripts/fuzz` makes them.

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod targets;

type Target = fn(&[u8]);

#[test]
fn what_the_fuzzers_found_stays_mended() {
    let all: [(&str, Target); 11] = [
        ("ipv4", targets::ipv4),
        ("ipv6", targets::ipv6),
        ("icmp", targets::icmp),
        ("tcp", targets::tcp),
        ("udp", targets::udp),
        ("vnet", targets::vnet),
        ("reassembly", targets::reassembly),
        ("fragments", targets::fragments),
        ("frame", targets::frame),
        ("pretty", targets::pretty),
        ("impairment", targets::impairment),
    ];
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let declared = fs::read_dir(fuzz.join("fuzz_targets")).expect("the targets").count();
    assert_eq!(declared, all.len(), "a target that is not run here");
    for (name, target) in all {
        let mut seen = 0;
        for entry in fs::read_dir(fuzz.join("corpus").join(name)).expect("a corpus") {
            let path = entry.expect("an entry").path();
            println!("{}", path.display());
            target(&fs::read(path).expect("an input"));
            seen += 1;
        }
        assert!(seen > 0, "the corpus of {name} is empty");
        target(&[]);
    }
}

//! How long one cycle's decisions take: `cargo run --release -p decide --example cycle_time -- decide/tests/data/panda.json [cycles]`.
//!
//! The arm swings, then is driven against a keep-out box, which is the shield's most expensive work. Under callgrind
//! (`valgrind --tool=callgrind`) the same program gives the instruction count.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;

use common::rig::Rig;
use layout::Source;

const STAGES: [&str; 6] = ["estimate", "shield", "choose", "command", "report", "all"];

fn main() {
    let path = std::env::args().nth(1).expect("a control section as JSON");
    let cycles = std::env::args().nth(2).map_or(20_000, |n| n.parse().expect("a number of cycles"));
    let text = std::fs::read_to_string(path).expect("a readable file");
    let control = serde_json::from_str(&text).expect("a control section");
    let mut rig = Rig::armed(control);
    rig.person_at(3.0, 1.0);
    let mut free = run(&mut rig, cycles, false);
    let mut near = run(&mut rig, cycles, true);
    println!("one cycle in us      p50    p99  p99.9    max");
    for (name, samples) in [("free", &mut free), ("against a box", &mut near)] {
        for (stage, times) in STAGES.iter().zip(samples.iter_mut()) {
            times.sort_unstable();
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1e3;
            println!("{name:>13} {stage:<9}{:6.2} {:6.2} {:6.2} {:6.2}", at(0.5), at(0.99), at(0.999), at(1.0));
        }
    }
}

fn run(rig: &mut Rig, cycles: usize, against_box: bool) -> [Vec<u64>; 6] {
    let mut times: [Vec<u64>; 6] = Default::default();
    let home = common::joints(&rig.control.home_rad);
    for cycle in 0..cycles {
        if cycle % 10 == 0 {
            let t = cycle as f64 * 1e-3;
            let mut q = home.map(|h| h + 0.2 * (1.0 - (2.0 * t).cos()));
            let mut qd = home.map(|_| 0.4 * (2.0 * t).sin());
            if against_box {
                // Down onto the table, and sliding along it.
                (q, qd) = (home, [0.0; 8]);
                q[0] += 0.5 * t.sin();
                q[1] += 1.8;
            }
            rig.policy = Some(rig.message(Source::Policy, q, qd));
        }
        rig.cycle_timed(&mut times);
    }
    black_box(times)
}

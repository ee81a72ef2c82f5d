//! Runs the control cycle a given number of times on a moving arm, for instruction counts under callgrind: the work is the
//! same each time, and the function to look at is `measured_cycle`.

#[path = "../tests/rig/mod.rs"]
mod rig;

use controld::cycle::Events;

#[inline(never)]
fn measured_cycle(rig: &mut rig::Rig) {
    let now_ns = rig.now_ns;
    rig.cycle.run(now_ns, Events::default(), || now_ns);
    rig.cycle.account_untimed();
}

fn main() {
    let count = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1000);
    let mut rig = rig::Rig::new("cycles");
    rig.steps(100);
    rig.rearm();
    rig.steps(500);
    for _ in 0..count {
        rig.surroundings();
        measured_cycle(&mut rig);
        rig.now_ns += rig::PERIOD_NS;
    }
    let state = rig.frame().exec_state().map_or("?", layout::ExecState::name);
    println!("{{\"cycles\": {count}, \"state\": \"{state}\"}}");
}

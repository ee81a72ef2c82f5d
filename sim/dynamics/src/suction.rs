//! A suction cup over parts that perception reports: pressure rises only on a part. Constants as in sim/suction.py, which a
//! test compares.

use layout::{ObjectKind, Scene};

use crate::STEP_S;

const LINE_PRESSURE_KPA: f64 = 55.0;
const OPEN_PRESSURE_KPA: f64 = 4.0;
const GRIP_PRESSURE_KPA: f64 = 25.0;
const EVACUATE_S: f64 = 0.045;
const VENT_S: f64 = 0.020;
/// The cup's rim gives this much before it lies on a part.
const REACH_M: f64 = 0.001;
/// Deeper than this under a part's top the cup is beside it, not on it.
const DEPTH_M: f64 = 0.02;
/// A cup this far from the middle of a small part still seals.
const OFFSET_MIN_M: f64 = 0.012;
/// Of a part's half width, from which on the cup hangs over its edge.
const OFFSET_RATIO: f64 = 0.6;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Suction {
    pub pressure_kpa: f64,
    pub holding: bool,
    pub touching: bool,
}

impl Suction {
    /// One millisecond with the valve open by `command`, 0 to 1, and the cup on a part or not.
    pub fn step(&mut self, command: f64, on_part: bool) {
        self.touching = on_part || self.holding;
        let goal = command * if self.touching { LINE_PRESSURE_KPA } else { OPEN_PRESSURE_KPA };
        let constant_s = if goal > self.pressure_kpa { EVACUATE_S } else { VENT_S };
        self.pressure_kpa += (goal - self.pressure_kpa) * (STEP_S / constant_s).min(1.0);
        self.holding = self.touching && self.pressure_kpa >= GRIP_PRESSURE_KPA;
    }
}

/// Whether the cup's tip lies on a part of the scene.
#[must_use]
pub fn is_on_part(tip_m: [f64; 3], scene: &Scene) -> bool {
    let count = usize::try_from(scene.count).unwrap_or(0).min(scene.kind.len());
    (0..count).any(|row| {
        let is_part = scene.kind[row] == ObjectKind::Part.raw();
        let [x, y, top] = scene.pos[row];
        let half = 0.5 * scene.size[row][0].min(scene.size[row][1]);
        let offset = (tip_m[0] - x).hypot(tip_m[1] - y);
        let above = tip_m[2] - top;
        is_part && offset <= (OFFSET_RATIO * half).max(OFFSET_MIN_M) && (-DEPTH_M..=REACH_M).contains(&above)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_part() -> Scene {
        let mut scene = Scene { count: 1, ..Scene::default() };
        scene.kind[0] = ObjectKind::Part.raw();
        scene.pos[0] = [0.4, -0.2, 0.05];
        scene.size[0] = [0.05, 0.05, 0.05];
        scene
    }

    #[test]
    fn pressure_rises_on_a_part_and_holds_it_until_the_valve_shuts() {
        let mut cup = Suction::default();
        (0..200).for_each(|_| cup.step(1.0, false));
        assert!(!cup.holding && cup.pressure_kpa < 5.0, "{cup:?}");
        (0..60).for_each(|_| cup.step(1.0, true));
        assert!(cup.holding, "{cup:?}");
        (0..500).for_each(|_| cup.step(1.0, false));
        assert!(cup.holding && cup.pressure_kpa > 0.9 * LINE_PRESSURE_KPA, "lifted, and still held: {cup:?}");
        (0..100).for_each(|_| cup.step(0.0, false));
        assert!(!cup.holding && !cup.touching, "{cup:?}");
    }

    #[test]
    fn the_cup_seals_on_top_of_a_part_and_nowhere_else() {
        let scene = one_part();
        assert!(is_on_part([0.4, -0.2, 0.05], &scene));
        assert!(is_on_part([0.41, -0.2, 0.048], &scene));
        for beside in [[0.4, -0.2, 0.06], [0.43, -0.2, 0.05], [0.4, -0.2, 0.01], [f64::NAN, -0.2, 0.05]] {
            assert!(!is_on_part(beside, &scene), "{beside:?}");
        }
        let mut person = scene;
        person.kind[0] = ObjectKind::Person.raw();
        assert!(!is_on_part([0.4, -0.2, 0.05], &person));
        let mut senseless = scene;
        senseless.count = u32::MAX;
        assert!(!is_on_part([1.0, 1.0, 1.0], &senseless));
    }
}

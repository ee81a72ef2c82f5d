//! The robot in space: keep-out boxes against its spheres, the workspace box against its tool, along a whole stop.
//!
//! A stop is walked with steps no longer than the clearance just measured: between two samples no sphere's centre moves
//! further than the sum over the joints of travel times the longest lever, so nothing can touch in between. Far from
//! everything that is one sample; near a box it is as many as the motion needs, and beyond a limit of them the motion is refused.

use super::track::Track;
use crate::model::linear::Vec3;
use crate::model::{Frames, J, Joints, RobotModel};
use crate::params::{Control, KEEP_OUTS};

/// Boxes are guarded as if they were larger by this (the workspace smaller), which covers the motion inside one `LEAST_STEP_M`.
pub const MARGIN_M: f64 = 0.001;
/// The shortest step between samples.
const LEAST_STEP_M: f64 = 2.0 * MARGIN_M;
/// Most samples of one walk; with steps of 2 mm or the clearance, whatever is longer, more are needed only to skim a box fast.
const MOST_SAMPLES: usize = 24;

/// Distance to what may not be touched; negative inside it, infinite where there is nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clearance {
    pub keep_out: f64,
    pub workspace: f64,
}

/// Which limit in space refused a motion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceLimit {
    KeepOut,
    Workspace,
    /// Too long a way too near to something to be verified in one cycle.
    Unverified,
}

#[derive(Clone, Copy, Debug)]
struct Zone {
    middle: Vec3,
    half: Vec3,
}

/// The boxes of the profile.
#[derive(Clone, Debug)]
pub struct Space {
    workspace: Zone,
    keep_outs: [Zone; KEEP_OUTS],
    keep_out_count: usize,
}

impl Clearance {
    pub const FREE: Self = Self { keep_out: f64::INFINITY, workspace: f64::INFINITY };

    #[must_use]
    pub fn nearest(&self) -> f64 {
        self.keep_out.min(self.workspace)
    }

    fn least(self, other: Self) -> Self {
        Self { keep_out: self.keep_out.min(other.keep_out), workspace: self.workspace.min(other.workspace) }
    }

    /// The first limit that is broken by more than `committed` breaks it.
    fn refusal(&self, committed: &Self) -> Option<SpaceLimit> {
        if !(self.keep_out >= committed.keep_out.min(0.0)) {
            Some(SpaceLimit::KeepOut)
        } else if !(self.workspace >= committed.workspace.min(0.0)) {
            Some(SpaceLimit::Workspace)
        } else {
            None
        }
    }
}

impl Zone {
    fn new(min: &Vec3, max: &Vec3) -> Self {
        let middle = [(min[0] + max[0]) * 0.5, (min[1] + max[1]) * 0.5, (min[2] + max[2]) * 0.5];
        let half = [(max[0] - min[0]) * 0.5, (max[1] - min[1]) * 0.5, (max[2] - min[2]) * 0.5];
        Self { middle, half }
    }

    /// Per axis how far a point is beyond the box's faces; negative inside.
    fn beyond(&self, point: Vec3) -> Vec3 {
        [
            (point[0] - self.middle[0]).abs() - self.half[0],
            (point[1] - self.middle[1]).abs() - self.half[1],
            (point[2] - self.middle[2]).abs() - self.half[2],
        ]
    }

    /// Distance of a point from the box; negative inside, then the way to the nearest face.
    fn distance(&self, point: Vec3) -> f64 {
        let d = self.beyond(point);
        let inside = d[0].max(d[1]).max(d[2]);
        if inside <= 0.0 {
            return inside;
        }
        let out = [d[0].max(0.0), d[1].max(0.0), d[2].max(0.0)];
        (out[0] * out[0] + out[1] * out[1] + out[2] * out[2]).sqrt()
    }

    /// How far inside the box a point is.
    fn depth(&self, point: Vec3) -> f64 {
        let d = self.beyond(point);
        -d[0].max(d[1]).max(d[2])
    }
}

impl Space {
    #[must_use]
    pub fn new(control: &Control) -> Self {
        let mut keep_outs = [Zone { middle: [0.0; 3], half: [0.0; 3] }; KEEP_OUTS];
        for (zone, source) in keep_outs.iter_mut().zip(&control.keep_out) {
            *zone = Zone::new(&source.min_m, &source.max_m);
        }
        Self {
            workspace: Zone::new(&control.workspace.min_m, &control.workspace.max_m),
            keep_outs,
            keep_out_count: control.keep_out.len(),
        }
    }

    /// Clearance at one pose, less the margin.
    #[must_use]
    pub fn clearance(&self, model: &RobotModel, frames: &Frames) -> Clearance {
        let mut keep_out = f64::INFINITY;
        for zone in self.keep_outs.iter().take(self.keep_out_count) {
            for (center, radius) in model.spheres(frames) {
                keep_out = keep_out.min(zone.distance(center) - radius);
            }
        }
        let workspace = self.workspace.depth(model.tool_position(frames));
        Clearance { keep_out: keep_out - MARGIN_M, workspace: workspace - MARGIN_M }
    }

    /// Walks the stops of all joints together and returns the least clearance on the way.
    ///
    /// # Errors
    /// The first limit broken by more than `committed` breaks it, or `Unverified` where the walk needs too many samples.
    pub fn walk(
        &self,
        model: &RobotModel,
        tracks: &[Track],
        first: &Frames,
        committed: &Clearance,
    ) -> Result<Clearance, SpaceLimit> {
        let longest = tracks.iter().map(Track::cycles_to_rest).max().unwrap_or(0);
        let mut found = self.clearance(model, first);
        let mut here = found;
        let mut cycle = 0;
        for _ in 0..MOST_SAMPLES {
            if let Some(limit) = found.refusal(committed) {
                return Err(limit);
            }
            let (left, pace) = motion_left(model, tracks, cycle);
            let step = here.nearest().max(LEAST_STEP_M);
            if left <= here.nearest() || cycle >= longest {
                return Ok(found);
            }
            if !(pace <= step) {
                return Err(SpaceLimit::Unverified); // too fast, too near: one cycle could pass through a corner
            }
            let ahead = if left <= step { longest } else { cycle + whole_cycles(step / pace) };
            cycle = ahead.min(longest);
            here = self.clearance(model, &model.frames(&positions(tracks, cycle)));
            found = found.least(here);
        }
        Err(SpaceLimit::Unverified)
    }
}

/// How far any sphere's centre or the tool can still move in the stops, in m, and no faster than what a cycle.
fn motion_left(model: &RobotModel, tracks: &[Track], cycle: u32) -> (f64, f64) {
    let levers = model.sphere_lever().iter().zip(model.tool_lever());
    let (mut left, mut pace) = (0.0, 0.0);
    for (track, (sphere, tool)) in tracks.iter().zip(levers) {
        let lever = sphere.max(*tool);
        left += lever * track.travel_from(cycle);
        pace += lever * track.pace_from(cycle);
    }
    (left, pace)
}

/// Where the joints are `cycle` cycles on.
fn positions(tracks: &[Track], cycle: u32) -> Joints {
    let mut q = [0.0; J];
    for (position, track) in q.iter_mut().zip(tracks) {
        *position = track.stopping(cycle).p;
    }
    q
}

/// At least one, at most what fits; NaN and infinity give one.
fn whole_cycles(cycles: f64) -> u32 {
    if (1.0..1e6).contains(&cycles) { cycles as u32 } else { 1 }
}

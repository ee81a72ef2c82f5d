//! Sums of rigid bodies: mass, first moment and inertia about a frame's origin.

use super::linear::{Mat3, Vec3, add, apply, dot, multiply, scale, sum, transpose};

/// Several links frozen together, seen from one frame.
#[derive(Clone, Copy, Debug)]
pub struct Composite {
    pub mass: f64,
    /// Mass times centre of mass.
    pub moment: Vec3,
    /// About the frame's origin.
    pub inertia: Mat3,
}

/// `inertia` about the centre of mass, moved to the frame's origin.
#[must_use]
pub fn about_origin(inertia: &Mat3, com: Vec3, mass: f64) -> Mat3 {
    sum(inertia, &steiner(scale(com, mass), com))
}

impl Composite {
    /// The same bodies seen from a frame in which this one stands at `pos`, turned by `rot`.
    #[must_use]
    pub fn seen_from(&self, rot: &Mat3, pos: Vec3) -> Self {
        let turned = apply(rot, self.moment);
        let inertia = multiply(&multiply(rot, &self.inertia), &transpose(rot));
        // −[r][h] − [h][r] − m[r][r], with [·] the cross-product matrix.
        let cross_terms = sum(&steiner(turned, pos), &steiner(pos, turned));
        let shift = sum(&cross_terms, &steiner(scale(pos, self.mass), pos));
        Self { mass: self.mass, moment: add(turned, scale(pos, self.mass)), inertia: sum(&inertia, &shift) }
    }

    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self { mass: self.mass + other.mass, moment: add(self.moment, other.moment), inertia: sum(&self.inertia, &other.inertia) }
    }
}

/// −[a][b] = (a·b) 1 − b aᵀ, with [·] the cross-product matrix.
fn steiner(a: Vec3, b: Vec3) -> Mat3 {
    let d = dot(a, b);
    [
        [d - b[0] * a[0], -b[0] * a[1], -b[0] * a[2]],
        [-b[1] * a[0], d - b[1] * a[1], -b[1] * a[2]],
        [-b[2] * a[0], -b[2] * a[1], d - b[2] * a[2]],
    ]
}

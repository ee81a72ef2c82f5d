//! Vectors and rotations of three dimensions over plain arrays.

/// A vector of three numbers.
pub type Vec3 = [f64; 3];
/// A matrix of three rows.
pub type Mat3 = [[f64; 3]; 3];

pub const ZERO: Vec3 = [0.0; 3];
pub const IDENTITY: Mat3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

#[must_use]
pub fn add(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

#[must_use]
pub fn sub(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

#[must_use]
pub fn scale(a: Vec3, k: f64) -> Vec3 {
    [a[0] * k, a[1] * k, a[2] * k]
}

#[must_use]
pub fn dot(a: Vec3, b: Vec3) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[must_use]
pub fn cross(a: Vec3, b: Vec3) -> Vec3 {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[must_use]
pub fn norm(a: Vec3) -> f64 {
    dot(a, a).sqrt()
}

#[must_use]
pub fn transpose(m: &Mat3) -> Mat3 {
    [[m[0][0], m[1][0], m[2][0]], [m[0][1], m[1][1], m[2][1]], [m[0][2], m[1][2], m[2][2]]]
}

#[must_use]
pub fn apply(m: &Mat3, v: Vec3) -> Vec3 {
    [dot(m[0], v), dot(m[1], v), dot(m[2], v)]
}

/// The transpose of `m` applied to `v`.
#[must_use]
pub fn apply_transposed(m: &Mat3, v: Vec3) -> Vec3 {
    [
        m[0][0] * v[0] + m[1][0] * v[1] + m[2][0] * v[2],
        m[0][1] * v[0] + m[1][1] * v[1] + m[2][1] * v[2],
        m[0][2] * v[0] + m[1][2] * v[1] + m[2][2] * v[2],
    ]
}

#[must_use]
pub fn multiply(a: &Mat3, b: &Mat3) -> Mat3 {
    let columns = transpose(b);
    [apply(&columns, a[0]), apply(&columns, a[1]), apply(&columns, a[2])]
}

#[must_use]
pub fn sum(a: &Mat3, b: &Mat3) -> Mat3 {
    [add(a[0], b[0]), add(a[1], b[1]), add(a[2], b[2])]
}

/// The matrix that turns `v` into `a × v`.
#[must_use]
pub fn skew(a: Vec3) -> Mat3 {
    [[0.0, -a[2], a[1]], [a[2], 0.0, -a[0]], [-a[1], a[0], 0.0]]
}

/// `m` followed by a turn about its own z axis: the cheap product of the kinematics.
#[must_use]
pub fn turn_about_z(m: &Mat3, sin: f64, cos: f64) -> Mat3 {
    let row = |r: Vec3| [r[0] * cos + r[1] * sin, r[1] * cos - r[0] * sin, r[2]];
    [row(m[0]), row(m[1]), row(m[2])]
}

/// Rotation matrix of a quaternion (w, x, y, z); the quaternion need not be of unit length.
#[must_use]
pub fn from_quaternion(q: [f64; 4]) -> Mat3 {
    let s = 2.0 / (q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
    let [w, x, y, z] = q;
    [
        [1.0 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)],
        [s * (x * y + w * z), 1.0 - s * (x * x + z * z), s * (y * z - w * x)],
        [s * (x * z - w * y), s * (y * z + w * x), 1.0 - s * (x * x + y * y)],
    ]
}

/// Unit quaternion (w, x, y, z; w ≥ 0) of a rotation matrix.
#[must_use]
pub fn to_quaternion(m: &Mat3) -> [f64; 4] {
    let trace = m[0][0] + m[1][1] + m[2][2];
    let q = if trace > 0.0 {
        [1.0 + trace, m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]]
    } else if m[0][0] >= m[1][1] && m[0][0] >= m[2][2] {
        let x = 1.0 + m[0][0] - m[1][1] - m[2][2];
        [m[2][1] - m[1][2], x, m[0][1] + m[1][0], m[0][2] + m[2][0]]
    } else if m[1][1] >= m[2][2] {
        let y = 1.0 + m[1][1] - m[0][0] - m[2][2];
        [m[0][2] - m[2][0], m[0][1] + m[1][0], y, m[1][2] + m[2][1]]
    } else {
        let z = 1.0 + m[2][2] - m[0][0] - m[1][1];
        [m[1][0] - m[0][1], m[0][2] + m[2][0], m[1][2] + m[2][1], z]
    };
    let length = (q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]).sqrt();
    let k = if q[0] < 0.0 { -1.0 } else { 1.0 } / length;
    [q[0] * k, q[1] * k, q[2] * k, q[3] * k]
}

/// A rotation that brings the z axis onto `axis` (of unit length).
#[must_use]
pub fn z_onto(axis: Vec3) -> Mat3 {
    let aside = if axis[0].abs() < 0.9 { [1.0, 0.0, 0.0] } else { [0.0, 1.0, 0.0] };
    let raw = cross(aside, axis);
    let y = scale(raw, 1.0 / norm(raw));
    let x = cross(y, axis);
    transpose(&[x, y, axis])
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn quaternion_survives_the_matrix_in_every_branch() {
        for q in [[1.0, 0.0, 0.0, 0.0], [0.1, 0.9, 0.2, 0.1], [0.1, 0.1, 0.9, 0.3], [0.05, 0.2, 0.1, 0.9]] {
            let length = f64::sqrt(q.iter().map(|x| x * x).sum());
            let back = to_quaternion(&from_quaternion(q));
            for (a, b) in q.iter().zip(back) {
                assert!(close(a / length, b));
            }
        }
    }

    #[test]
    fn z_lands_on_the_axis_and_the_frame_stays_right_handed() {
        for axis in [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.6, 0.0, -0.8]] {
            let r = z_onto(axis);
            let z = apply(&r, [0.0, 0.0, 1.0]);
            let x_cross_y = cross(apply(&r, [1.0, 0.0, 0.0]), apply(&r, [0.0, 1.0, 0.0]));
            for i in 0..3 {
                assert!(close(z[i], axis[i]) && close(x_cross_y[i], axis[i]));
            }
        }
    }
}

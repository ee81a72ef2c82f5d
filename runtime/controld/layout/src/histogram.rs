//! Fixed buckets for durations: 16 per doubling, so a bucket is at most 1/16 wide, from 64 ns to a quarter of a second.

pub const UNIT_NS: u64 = 64;
pub const SUB_BITS: u32 = 4;
const SUB: usize = 1 << SUB_BITS;
/// Below 2^10 ns the buckets are linear, one unit wide.
const FIRST_EXPONENT: u32 = 10;
pub const TOP_EXPONENT: u32 = 27;
/// The last bucket also takes everything longer.
pub const BUCKETS: usize = SUB + (TOP_EXPONENT - FIRST_EXPONENT + 1) as usize * SUB;

/// The bucket of a duration; negative ones count as zero.
#[must_use]
#[inline]
#[allow(clippy::cast_possible_truncation)]
pub fn bucket_of(duration_ns: i64) -> usize {
    let ns = u64::try_from(duration_ns).unwrap_or(0);
    if ns < 1 << FIRST_EXPONENT {
        return (ns / UNIT_NS) as usize;
    }
    let exponent = 63 - ns.leading_zeros();
    if exponent > TOP_EXPONENT {
        return BUCKETS - 1;
    }
    let sub = (ns >> (exponent - SUB_BITS)) as usize & (SUB - 1);
    SUB + (exponent - FIRST_EXPONENT) as usize * SUB + sub
}

/// The first duration beyond a bucket, in ns; the last bucket has no bound.
#[must_use]
#[allow(clippy::cast_possible_truncation)]
pub fn bucket_upper_ns(bucket: usize) -> Option<u64> {
    if bucket + 1 >= BUCKETS {
        return None;
    }
    if bucket < SUB {
        return Some((bucket as u64 + 1) * UNIT_NS);
    }
    let exponent = FIRST_EXPONENT + ((bucket - SUB) / SUB) as u32;
    let sub = ((bucket - SUB) % SUB) as u64;
    Some((SUB as u64 + sub + 1) << (exponent - SUB_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_duration_lies_below_its_buckets_bound_and_not_below_the_one_before(ns in 0i64..(1 << 28)) {
            let bucket = bucket_of(ns);
            prop_assert!(bucket < BUCKETS);
            if let Some(upper) = bucket_upper_ns(bucket) {
                prop_assert!((ns as u64) < upper);
            }
            if bucket > 0 {
                prop_assert!(ns as u64 >= bucket_upper_ns(bucket - 1).unwrap());
            }
        }
    }

    #[test]
    fn the_impossible_falls_into_the_first_and_last_bucket() {
        assert_eq!(bucket_of(i64::MIN), 0);
        assert_eq!(bucket_of(i64::MAX), BUCKETS - 1);
    }
}

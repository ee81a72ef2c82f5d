//! The shield: what may be commanded. `docs/safety.md` says in words what each part promises.

pub mod checks;
pub mod collision;
pub mod follow;
pub mod gripper;
pub mod motion;
pub mod opinion;
pub mod separation;
pub mod space;
pub mod stop;
pub mod thermal;
pub mod track;

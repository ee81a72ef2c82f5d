//! The shield: what may be commanded. `docs/safety.md` says in words what each part promises.

pub mod checks;
pub mod follow;
pub mod motion;
pub mod space;
pub mod stop;
pub mod track;

//! Prints runtime/shm/enums.py.

fn main() {
    print!("{}", layout::python::enums_source());
}

//! Writes the enums out as Python source, so that a type checker sees them; the file is compared with this in a test.

use crate::{ENUMS, layout_hash_hex};

#[must_use]
pub fn enums_source() -> String {
    let mut text = String::from(
        "\"\"\"The closed sets that messages speak in; made from runtime/controld/layout by build.sh.\"\"\"\n\n\
         from enum import IntEnum, IntFlag\n",
    );
    for table in ENUMS {
        let base = if table.flags { "IntFlag" } else { "IntEnum" };
        text.push_str(&format!("\n\nclass {}({base}):\n", table.name));
        for (name, value) in table.values {
            text.push_str(&format!("    {name} = {value}\n"));
        }
    }
    text.push_str(&format!("\n\nLAYOUT_HASH = \"{}\"\n", layout_hash_hex()));
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checked_in_python_enums_are_those_of_this_layout() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shm/enums.py");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text == super::enums_source(), "runtime/shm/enums.py is not of this layout: run runtime/controld/build.sh");
    }
}

//! Writes the enums out as Python source, so that a type checker sees them; the file is compared with this in a test.

use crate::{ENUMS, layout_hash_hex};

#[must_use]
pub fn enums_source() -> String {
    let mut text = String::from(
        "\"\"\"The closed sets that messages speak in. Made from runtime/controld/layout by build.sh; not edited by hand.\"\"\"\n\n\
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

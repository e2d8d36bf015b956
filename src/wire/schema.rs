//! JSON Schema of the texts that have a form of their own.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

macro_rules! texts {
    ($($(#[doc = $doc:literal])* $name:ident: $key:literal = $value:literal;)*) => {$(
        $(#[doc = $doc])*
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", $key: $value })
            }
        }
    )*};
}

texts! {
    /// RFC 3339, always with `Z`.
    Instant: "format" = "date-time";
    /// A wall time in whole seconds, without a zone.
    WallTime: "pattern" = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$";
    /// A SHA-256.
    Head: "pattern" = "^[0-9a-f]{64}$";
    /// 128 bits in base32.
    Id: "pattern" = "^[a-z2-7]{26}$";
}

//! The macros behind every message and enum, and the traits they implement.

/// The number types a field is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    U8,
    U16,
    U32,
    U64,
    I64,
    F64,
}

impl Kind {
    /// NumPy's name of the type.
    #[must_use]
    pub const fn numpy(self) -> &'static str {
        match self {
            Self::U8 => "u1",
            Self::U16 => "<u2",
            Self::U32 => "<u4",
            Self::U64 => "<u8",
            Self::I64 => "<i8",
            Self::F64 => "<f8",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    /// Dimensions; zero where there is none.
    pub shape: [usize; 2],
    pub offset: usize,
    pub size: usize,
    /// The enum whose values the field may hold, if it is one.
    pub choices: Option<&'static str>,
}

#[derive(Clone, Copy, Debug)]
pub struct MessageInfo {
    pub record: &'static str,
    pub topics: &'static [&'static str],
    pub size: usize,
    pub fields: &'static [Field],
    /// Whether every enum field of these words holds a declared value.
    pub valid: fn(&[u64]) -> bool,
}

impl MessageInfo {
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = format!("{} {:?} {}\n", self.record, self.topics, self.size);
        for f in self.fields {
            text.push_str(&format!("  {} {:?}{:?} @{} {:?}\n", f.name, f.kind, f.shape, f.offset, f.choices));
        }
        text
    }
}

/// A record that can be copied to and from shared memory. Any bit pattern decodes; `valid` says whether its enums hold.
pub trait Message: Copy + Send + 'static {
    const INFO: &'static MessageInfo;
    const WORDS: usize;
    fn zeroed() -> Self;
    fn encode(&self, words: &mut [u64]);
    fn decode(words: &[u64]) -> Self;
    fn valid(&self) -> bool;
}

#[derive(Clone, Copy, Debug)]
pub struct EnumInfo {
    pub name: &'static str,
    pub flags: bool,
    pub values: &'static [(&'static str, u64)],
}

impl EnumInfo {
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{} {} {:?}\n", self.name, self.flags, self.values)
    }
}

/// A value that can stand in a message: a number, or an array of up to two dimensions of numbers.
pub trait Value: Copy {
    const KIND: Kind;
    const SHAPE: [usize; 2];
    const ZERO: Self;
    fn put(&self, words: &mut [u64], offset: usize);
    fn get(words: &[u64], offset: usize) -> Self;
}

macro_rules! value_of_bytes {
    ($($t:ident $kind:ident),*) => {$(
        impl Value for $t {
            const KIND: Kind = Kind::$kind;
            const SHAPE: [usize; 2] = [0, 0];
            const ZERO: Self = 0;
            #[inline]
            fn put(&self, words: &mut [u64], offset: usize) {
                let shift = (offset % 8) * 8;
                if let Some(word) = words.get_mut(offset / 8) {
                    *word = (*word & !(u64::from($t::MAX) << shift)) | (u64::from(*self) << shift);
                }
            }
            #[inline]
            #[allow(clippy::cast_possible_truncation)]
            fn get(words: &[u64], offset: usize) -> Self {
                let word = words.get(offset / 8).copied().unwrap_or_default();
                (word >> ((offset % 8) * 8)) as $t
            }
        }
    )*};
}
value_of_bytes!(u8 U8, u16 U16, u32 U32, u64 U64);

impl Value for i64 {
    const KIND: Kind = Kind::I64;
    const SHAPE: [usize; 2] = [0, 0];
    const ZERO: Self = 0;
    #[inline]
    fn put(&self, words: &mut [u64], offset: usize) {
        self.cast_unsigned_word().put(words, offset);
    }
    #[inline]
    fn get(words: &[u64], offset: usize) -> Self {
        Self::from_ne_bytes(u64::get(words, offset).to_ne_bytes())
    }
}

trait CastWord {
    fn cast_unsigned_word(&self) -> u64;
}

impl CastWord for i64 {
    #[inline]
    fn cast_unsigned_word(&self) -> u64 {
        u64::from_ne_bytes(self.to_ne_bytes())
    }
}

impl Value for f64 {
    const KIND: Kind = Kind::F64;
    const SHAPE: [usize; 2] = [0, 0];
    const ZERO: Self = 0.0;
    #[inline]
    fn put(&self, words: &mut [u64], offset: usize) {
        self.to_bits().put(words, offset);
    }
    #[inline]
    fn get(words: &[u64], offset: usize) -> Self {
        Self::from_bits(u64::get(words, offset))
    }
}

impl<T: Value, const N: usize> Value for [T; N] {
    const KIND: Kind = T::KIND;
    const SHAPE: [usize; 2] = [N, T::SHAPE[0]];
    const ZERO: Self = [T::ZERO; N];
    #[inline]
    fn put(&self, words: &mut [u64], offset: usize) {
        for (i, value) in self.iter().enumerate() {
            value.put(words, offset + i * size_of::<T>());
        }
    }
    #[inline]
    fn get(words: &[u64], offset: usize) -> Self {
        std::array::from_fn(|i| T::get(words, offset + i * size_of::<T>()))
    }
}

/// `Name: u8 { Variant = 0, … }` becomes the enum, its checked conversion from a raw number, and its table for Python.
macro_rules! enums {
    ($($(#[$doc:meta])* $name:ident : $raw:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal as $text:literal),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            #[repr($raw)]
            pub enum $name { $($(#[$vdoc])* $variant = $value),* }

            impl $name {
                pub const ALL: &'static [Self] = &[$(Self::$variant),*];
                pub const INFO: $crate::declare::EnumInfo = $crate::declare::EnumInfo {
                    name: stringify!($name), flags: false, values: &[$(($text, $value)),*],
                };
                /// `None` where the number is no declared value.
                #[must_use]
                #[inline]
                pub const fn from_raw(raw: $raw) -> Option<Self> {
                    match raw { $($value => Some(Self::$variant),)* _ => None }
                }
                #[must_use]
                #[inline]
                pub const fn raw(self) -> $raw { self as $raw }
                #[must_use]
                pub const fn name(self) -> &'static str {
                    match self { $(Self::$variant => $text),* }
                }
            }
        )*
    };
}
pub(crate) use enums;

/// `Name: u8 { NAME = 1, … }` becomes a module of bit constants and a table for Python.
macro_rules! flags {
    ($($(#[$doc:meta])* $module:ident $name:ident : $raw:ident { $($variant:ident = $value:literal),* $(,)? })*) => {
        $(
            $(#[$doc])*
            pub mod $module {
                $(pub const $variant: $raw = $value;)*
                pub const INFO: $crate::declare::EnumInfo = $crate::declare::EnumInfo {
                    name: stringify!($name), flags: true, values: &[$((stringify!($variant), $value)),*],
                };
            }
        )*
    };
}
pub(crate) use flags;

/// `["topic", …] Name { field: type, … }` becomes the struct with the common header in front, its codec and its table.
///
/// A field `name: u8 as Enum` gets an accessor of the same name, and makes the record invalid when the number is no value of
/// the enum. The sizes must add up: padding is declared by hand as a field whose name starts with an underscore.
macro_rules! messages {
    ($($(#[$doc:meta])* [$($topic:literal),*] $name:ident { $($(#[$fdoc:meta])* $field:ident : $type:ty $(as $choice:ident)?),* $(,)? })*) => {
        $(
            messages!(@one $(#[$doc])* [$($topic),*] $name {
                /// Counted by the writer, rising by at least one with each write.
                seq: u64,
                /// The `controld` epoch that the writer has seen; 0 where it has seen none.
                epoch: u64,
                /// CLOCK_MONOTONIC when the writer made it.
                created_ns: i64,
                /// CLOCK_MONOTONIC after which it must not be acted on; 0 where it does not expire.
                expires_ns: i64,
                $($(#[$fdoc])* $field: $type $(as $choice)?),*
            });
        )*
        /// Every record, in order of declaration.
        pub const MESSAGES: &[&$crate::declare::MessageInfo] = &[$(<$name as $crate::declare::Message>::INFO),*];
    };
    (@one $(#[$doc:meta])* [$($topic:literal),*] $name:ident { $($(#[$fdoc:meta])* $field:ident : $type:ty $(as $choice:ident)?),* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[repr(C)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type),* }

        const _: () = assert!(
            0 $(+ size_of::<$type>())* == size_of::<$name>() && size_of::<$name>() % 8 == 0,
            "declare the padding: a message has no hidden bytes and fills whole words"
        );

        impl $name {
            $($(
                /// `None` where the stored number is no declared value.
                #[must_use]
                #[inline]
                pub const fn $field(&self) -> Option<$choice> { $choice::from_raw(self.$field) }
            )?)*
        }

        impl $crate::declare::Message for $name {
            const INFO: &'static $crate::declare::MessageInfo = &$crate::declare::MessageInfo {
                record: stringify!($name),
                topics: &[$($topic),*],
                size: size_of::<$name>(),
                fields: &[$($crate::declare::Field {
                    name: stringify!($field),
                    kind: <$type as $crate::declare::Value>::KIND,
                    shape: <$type as $crate::declare::Value>::SHAPE,
                    offset: std::mem::offset_of!($name, $field),
                    size: size_of::<$type>(),
                    choices: messages!(@choice $($choice)?),
                }),*],
                valid: |words| <$name as $crate::declare::Message>::decode(words).valid(),
            };
            const WORDS: usize = size_of::<$name>() / 8;
            fn zeroed() -> Self {
                Self { $($field: <$type as $crate::declare::Value>::ZERO),* }
            }
            #[inline]
            fn encode(&self, words: &mut [u64]) {
                $($crate::declare::Value::put(&self.$field, words, std::mem::offset_of!($name, $field));)*
            }
            #[inline]
            fn decode(words: &[u64]) -> Self {
                Self { $($field: $crate::declare::Value::get(words, std::mem::offset_of!($name, $field))),* }
            }
            #[inline]
            fn valid(&self) -> bool {
                true $($(&& $choice::from_raw(self.$field).is_some())?)*
            }
        }

        impl Default for $name {
            fn default() -> Self { <Self as $crate::declare::Message>::zeroed() }
        }
    };
    (@choice) => { None };
    (@choice $choice:ident) => { Some(stringify!($choice)) };
}
pub(crate) use messages;

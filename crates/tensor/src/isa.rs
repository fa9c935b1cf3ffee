//! Which instructions the kernels use, chosen once at run time.

use std::sync::OnceLock;

/// An instruction set with kernels of its own. All give the same bits: sums are written as explicit chains of
/// fused multiply-adds, so only speed differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Whatever the target has by itself: NEON on 64-bit ARM. Slow on x86-64, whose baseline lacks a fused multiply-add.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    Avx512,
    /// The same with products of bf16 pairs.
    Avx512Bf16,
}

impl Isa {
    /// The variable that forces a choice: `portable`, `avx2`, `avx512` or `avx512bf16`.
    pub const VARIABLE: &str = "MAQUETTE_ISA";

    /// What the kernels use: the best that this machine has, unless [`Isa::VARIABLE`] names a lesser one.
    ///
    /// # Panics
    /// On first use, if [`Isa::requested`] refuses: ask that first where a user may have set the variable.
    pub fn current() -> Self {
        static CHOICE: OnceLock<Isa> = OnceLock::new();
        *CHOICE.get_or_init(|| Self::requested().unwrap_or_else(|message| panic!("{message}")))
    }

    /// What [`Isa::VARIABLE`] asks for, or the best there is.
    ///
    /// # Errors
    /// A message for the user, if the variable holds an unknown name or a set that this machine lacks.
    pub fn requested() -> Result<Self, String> {
        let available = Self::available();
        let Ok(name) = std::env::var(Self::VARIABLE) else { return Ok(available[available.len() - 1]) };
        available.iter().copied().find(|isa| isa.name() == name).ok_or_else(|| {
            let names: Vec<_> = available.iter().map(|isa| format!("`{}`", isa.name())).collect();
            let (variable, names) = (Self::VARIABLE, names.join(", "));
            format!("expected {variable} to be one of {names} on this machine, found `{name}`\nhint: unset it to use the best")
        })
    }

    /// Every set that this machine can run, in rising order of speed.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "only x86-64 adds to it")]
        let mut sets = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                sets.push(Self::Avx2);
                let has_512 = is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl");
                if has_512 {
                    sets.push(Self::Avx512);
                    if is_x86_feature_detected!("avx512bf16") {
                        sets.push(Self::Avx512Bf16);
                    }
                }
            }
        }
        sets
    }

    /// Whether it multiplies pairs of bf16 in one instruction: what a default precision may depend on.
    ///
    /// Known, not timed: a default that rests on a stopwatch is now one thing and now another on a busy machine, and
    /// two runs of one recipe would not be the same run.
    pub fn multiplies_bf16(self) -> bool {
        self == Self::Avx512Bf16
    }

    /// Its name, as [`Isa::VARIABLE`] takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512bf16",
        }
    }
}

/// Compiles one body for every instruction set and runs the one in use.
///
/// The body is plain Rust: the compiler vectorises it with whatever the set has. `mul_add` is one rounding on
/// every set, so results agree bit for bit as long as the body fixes the order of its sums.
macro_rules! for_each_isa {
    ($(#[$meta:meta])* $vis:vis fn $name:ident$(<$($generic:ident: $bound:path),+>)?($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, reason = "kernels take sizes and buffers as arguments")]
        $vis fn $name$(<$($generic: $bound),+>)?($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "as above")]
            fn body$(<$($generic: $bound),+>)?($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "as above")]
                fn avx512$(<$($generic: $bound),+>)?($($arg: $ty),*) $(-> $ret)? {
                    body$(::<$($generic),+>)?($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "as above")]
                fn avx2$(<$($generic: $bound),+>)?($($arg: $ty),*) $(-> $ret)? {
                    body$(::<$($generic),+>)?($($arg),*)
                }
                match $crate::Isa::current() {
                    // SAFETY: `Isa::current` returns only sets whose features were detected on this machine.
                    $crate::Isa::Avx512 | $crate::Isa::Avx512Bf16 => return unsafe { avx512$(::<$($generic),+>)?($($arg),*) },
                    // SAFETY: as above.
                    $crate::Isa::Avx2 => return unsafe { avx2$(::<$($generic),+>)?($($arg),*) },
                    $crate::Isa::Portable => {}
                }
            }
            body$(::<$($generic),+>)?($($arg),*)
        }
    };
}
pub(crate) use for_each_isa;

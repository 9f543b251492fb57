//! What a Linux binary needs of the machine it runs on, read from its ELF file.

use object::{
    LittleEndian,
    elf::{EM_AARCH64, EM_X86_64, FileHeader64},
    read::elf::FileHeader as _,
};

use crate::settings::Architecture;

/// The glibc of Amazon Linux 2023, which `provided.al2023` runs on.
pub const AL2023_GLIBC: (u32, u32) = (2, 34);

/// The machine a binary is for and the newest glibc symbol version it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binary {
    /// The processor.
    pub architecture: Architecture,
    /// Major and minor; `None` for a static binary.
    pub glibc: Option<(u32, u32)>,
}

/// Why a file cannot be the function's binary.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ElfError {
    /// It is not a 64-bit Linux program.
    #[error("not a 64-bit Linux program: {0}")]
    NotElf(String),
    /// It is for a processor Lambda does not have.
    #[error("built for a processor that Lambda does not offer (ELF machine {0})")]
    Machine(u16),
    /// It would not start on Amazon Linux 2023.
    #[error(
        "needs glibc {}.{}, but provided.al2023 has {}.{}: build it on an older system or with `cargo zigbuild \
         --target {}-unknown-linux-gnu.2.34`", .0.0, .0.1, AL2023_GLIBC.0, AL2023_GLIBC.1, .1
    )]
    Glibc((u32, u32), &'static str),
    /// It is for the other processor.
    #[error("built for {found}, but the function is {wanted}")]
    Architecture {
        /// What the file is.
        found: &'static str,
        /// What `[deploy] architecture` says.
        wanted: &'static str,
    },
}

/// Reads what the binary in `data` needs.
///
/// # Errors
/// When it is not a Linux program for a processor Lambda has.
pub fn inspect(data: &[u8]) -> Result<Binary, ElfError> {
    let not_elf = |error: object::read::Error| ElfError::NotElf(error.to_string());
    let header = FileHeader64::<LittleEndian>::parse(data).map_err(not_elf)?;
    let endian = header.endian().map_err(not_elf)?;
    let architecture = match header.e_machine.get(endian) {
        EM_AARCH64 => Architecture::Arm64,
        EM_X86_64 => Architecture::X86_64,
        other => return Err(ElfError::Machine(other)),
    };
    let mut glibc = None;
    let sections = header.sections(endian, data).map_err(not_elf)?;
    if let Some((mut needs, link)) = sections.gnu_verneed(endian, data).map_err(not_elf)? {
        let strings = sections.strings(endian, data, link).map_err(not_elf)?;
        while let Some((_, mut versions)) = needs.next().map_err(not_elf)? {
            while let Some(version) = versions.next().map_err(not_elf)? {
                let name = version.name(endian, strings).map_err(not_elf)?;
                glibc = glibc.max(glibc_version(name));
            }
        }
    }
    Ok(Binary { architecture, glibc })
}

/// Checks that the binary in `data` starts on `provided.al2023` with this processor.
///
/// # Errors
/// What is wrong and how to build it right.
pub fn check(data: &[u8], architecture: Architecture) -> Result<Binary, ElfError> {
    let binary = inspect(data)?;
    if binary.architecture != architecture {
        return Err(ElfError::Architecture {
            found: binary.architecture.as_str(),
            wanted: architecture.as_str(),
        });
    }
    match binary.glibc {
        Some(version) if version > AL2023_GLIBC => Err(ElfError::Glibc(
            version,
            match architecture {
                Architecture::Arm64 => "aarch64",
                Architecture::X86_64 => "x86_64",
            },
        )),
        _ => Ok(binary),
    }
}

/// `GLIBC_2.34` as (2, 34).
fn glibc_version(name: &[u8]) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?;
    let mut parts = text.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(glibc_version(b"GLIBC_2.2.5"), Some((2, 2)));
        assert!(glibc_version(b"GLIBC_2.34") > glibc_version(b"GLIBC_2.9"));
        assert_eq!(glibc_version(b"GCC_3.0"), None);
    }

    #[test]
    fn a_program_of_this_system_is_read() {
        let own = std::fs::read("/bin/true").unwrap();
        let binary = inspect(&own).unwrap();
        assert_eq!(binary.architecture.as_str(), std::env::consts::ARCH.replace("aarch64", "arm64"));
        assert!(binary.glibc >= Some((2, 2)));
    }

    #[test]
    fn wrong_files_say_what_they_are() {
        assert!(matches!(inspect(b"#!/bin/sh\n"), Err(ElfError::NotElf(_))));
        let own = std::fs::read("/bin/true").unwrap();
        let other = match inspect(&own).unwrap().architecture {
            Architecture::Arm64 => Architecture::X86_64,
            Architecture::X86_64 => Architecture::Arm64,
        };
        assert!(matches!(check(&own, other), Err(ElfError::Architecture { .. })));
    }

    #[test]
    fn a_newer_glibc_is_refused_with_the_way_out() {
        let text = ElfError::Glibc((2, 36), "x86_64").to_string();
        assert!(text.contains("2.36") && text.contains("zigbuild"), "{text}");
    }
}

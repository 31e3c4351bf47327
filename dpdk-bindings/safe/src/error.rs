//! DPDK's error numbers under their names.

use dpdk_sys as c;

/// Why a DPDK function failed: `errno` values as DPDK uses them, and its own two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Errno {
    /// `EPERM`
    #[error("not permitted (EPERM)")]
    NotPermitted,
    /// `ENOENT`
    #[error("no such entry (ENOENT)")]
    NoEntry,
    /// `EIO`
    #[error("input/output error (EIO)")]
    Io,
    /// `EAGAIN`
    #[error("try again (EAGAIN)")]
    TryAgain,
    /// `ENOMEM`
    #[error("out of memory (ENOMEM)")]
    NoMemory,
    /// `EACCES`
    #[error("permission denied (EACCES)")]
    AccessDenied,
    /// `EBUSY`
    #[error("busy (EBUSY)")]
    Busy,
    /// `EEXIST`
    #[error("exists already (EEXIST)")]
    Exists,
    /// `ENODEV`
    #[error("no such device (ENODEV)")]
    NoDevice,
    /// `EINVAL`
    #[error("invalid argument (EINVAL)")]
    Invalid,
    /// `ENOSPC`
    #[error("no space left (ENOSPC)")]
    NoSpace,
    /// `ERANGE`
    #[error("out of range (ERANGE)")]
    Range,
    /// `ENAMETOOLONG`
    #[error("name too long (ENAMETOOLONG)")]
    NameTooLong,
    /// `EPROTO`
    #[error("protocol error (EPROTO)")]
    Protocol,
    /// `ENOTSUP`, which is Linux's `EOPNOTSUPP`
    #[error("not supported (ENOTSUP)")]
    NotSupported,
    /// `ENOBUFS`
    #[error("no buffers (ENOBUFS)")]
    NoBuffers,
    /// `EADDRINUSE`
    #[error("address in use (EADDRINUSE)")]
    AddressInUse,
    /// `ENETDOWN`
    #[error("network is down (ENETDOWN)")]
    NetworkDown,
    /// `ETIMEDOUT`
    #[error("timed out (ETIMEDOUT)")]
    TimedOut,
    /// `EALREADY`
    #[error("done already (EALREADY)")]
    Already,
    /// `E_RTE_SECONDARY`
    #[error("not allowed in a secondary process (E_RTE_SECONDARY)")]
    Secondary,
    /// `E_RTE_NO_CONFIG`
    #[error("EAL has no configuration (E_RTE_NO_CONFIG)")]
    NoConfig,
    /// Any other number.
    #[error("errno {0}")]
    Other(i32),
}

impl Errno {
    /// Names an error number. DPDK returns it negated as often as not: the sign does not matter.
    #[must_use]
    pub fn from_raw(number: i32) -> Self {
        match number.saturating_abs() {
            libc::EPERM => Self::NotPermitted,
            libc::ENOENT => Self::NoEntry,
            libc::EIO => Self::Io,
            libc::EAGAIN => Self::TryAgain,
            libc::ENOMEM => Self::NoMemory,
            libc::EACCES => Self::AccessDenied,
            libc::EBUSY => Self::Busy,
            libc::EEXIST => Self::Exists,
            libc::ENODEV => Self::NoDevice,
            libc::EINVAL => Self::Invalid,
            libc::ENOSPC => Self::NoSpace,
            libc::ERANGE => Self::Range,
            libc::ENAMETOOLONG => Self::NameTooLong,
            libc::EPROTO => Self::Protocol,
            libc::ENOTSUP => Self::NotSupported,
            libc::ENOBUFS => Self::NoBuffers,
            libc::EADDRINUSE => Self::AddressInUse,
            libc::ENETDOWN => Self::NetworkDown,
            libc::ETIMEDOUT => Self::TimedOut,
            libc::EALREADY => Self::Already,
            n if n == c::E_RTE_SECONDARY as i32 => Self::Secondary,
            n if n == c::E_RTE_NO_CONFIG as i32 => Self::NoConfig,
            n => Self::Other(n),
        }
    }

    /// The calling thread's `rte_errno`, to be asked right after the call that failed.
    pub(crate) fn last() -> Self {
        // SAFETY: reads a thread-local integer.
        Self::from_raw(unsafe { c::dpdk_errno() })
    }

    /// `Ok` for a return value of zero or more, the named error for a negative one.
    pub(crate) fn check(rc: i32) -> Result<i32, Self> {
        if rc >= 0 { Ok(rc) } else { Err(Self::from_raw(rc)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sign_of_an_error_number_does_not_matter() {
        assert_eq!(Errno::from_raw(-libc::ENOMEM), Errno::NoMemory);
        assert_eq!(Errno::from_raw(libc::ENOMEM), Errno::NoMemory);
        assert_eq!(Errno::from_raw(i32::MIN), Errno::Other(i32::MAX));
    }

    #[test]
    fn return_values_of_zero_and_more_are_no_errors() {
        assert_eq!(Errno::check(0), Ok(0));
        assert_eq!(Errno::check(3), Ok(3));
        assert_eq!(Errno::check(-libc::EBUSY), Err(Errno::Busy));
    }

    #[test]
    fn dpdks_own_numbers_have_names() {
        assert_eq!(Errno::from_raw(1001), Errno::Secondary);
        assert_eq!(Errno::from_raw(1002), Errno::NoConfig);
    }
}

//! systemd's notification protocol: a datagram of `KEY=value` lines to the socket that it names.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where systemd listens, if this process runs under it.
pub struct Notifier {
    target: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// Reads `NOTIFY_SOCKET`, the protocol's own variable; without it every message goes nowhere.
    #[must_use]
    pub fn from_environment() -> Self {
        let name = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&name),
        };
        let target = match (name.is_empty(), UnixDatagram::unbound(), address) {
            (false, Ok(socket), Ok(address)) => {
                // A full queue must not hold up the watchdog.
                let _ = socket.set_nonblocking(true);
                Some((socket, address))
            }
            _ => None,
        };
        Self { target }
    }

    #[must_use]
    pub fn is_supervised(&self) -> bool {
        self.target.is_some()
    }

    /// Sends lines such as `READY=1`; a lost one is sent again by its meaning's next occasion.
    pub fn send(&self, lines: &str) {
        if let Some((socket, address)) = &self.target {
            let _ = socket.send_to_addr(lines.as_bytes(), address);
        }
    }
}

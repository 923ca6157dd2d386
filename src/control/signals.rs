//! SIGTERM and SIGINT, and SIGHUP.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask the server to stop.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Takes the signals over. Must be called inside a tokio runtime.
    pub fn new() -> std::io::Result<StopSignals> {
        Ok(StopSignals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next one.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The signal that asks the server to read its files again.
pub struct HangUps(Signal);

impl HangUps {
    /// Takes the signal over. Must be called inside a tokio runtime.
    pub fn new() -> std::io::Result<HangUps> {
        Ok(HangUps(signal(SignalKind::hangup())?))
    }

    /// Ends at the next one.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}

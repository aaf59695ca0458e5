//! TCP's settings and bounds, with their defaults. `docs/limits.md` says why each is what it is.

use core::time::Duration;

impl Default for TcpConfig {
    fn default() -> Self {
        TcpConfig {
            send_buffer: 256 * 1024,
            recv_buffer: 256 * 1024,
            window_scaling: true,
            timestamps: true,
            sack: true,
            msl: Duration::from_secs(30),
            initial_rto: Duration::from_secs(1),
            min_rto: Duration::from_millis(200),
            max_rto: Duration::from_secs(120),
            retries1: 3,
            retries2: 15,
            syn_retries: 7,
            synack_retries: 5,
            orphan_retries: 8,
            delayed_ack: Duration::from_millis(40),
            fin_wait2: Duration::from_secs(60),
            challenge_interval: Duration::from_millis(500),
            min_mss: 48,
            max_ooo_ranges: 256,
            ephemeral_low: 1024,
            ephemeral_high: 65_535,
            fixed_iss: None,
        }
    }
}

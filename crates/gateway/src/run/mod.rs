//! `tandem run`: the parts, started in order and ended in the reverse one.

mod cores;

use std::path::PathBuf;

use clap::Args;

pub(crate) use cores::keep_off;

use crate::exit::Failure;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "/etc/tandem/tandem.yaml")]
    config: PathBuf,
    /// Makes every received frame cost so many nanoseconds more, to see that measurements notice.
    #[arg(long, value_name = "NS", default_value_t = 0, hide = true)]
    debug_burn_ns: u32,
}

#[cfg(not(feature = "dpdk"))]
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    tandem_config::load(&arguments.config)?;
    Err(Failure::Machine(vec!["this program was built without DPDK: build it with the feature `dpdk`".to_owned()]))
}

#[cfg(feature = "dpdk")]
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    use anyhow::Context;
    use std::sync::Arc;

    use tandem_contract::Fence;
    use tandem_control::{Control, Setup, WorkerFence};
    use tandem_worker::{Clock as _, TscClock};

    use crate::check;
    use crate::dataplane::{self, DataPlane};

    let config = tandem_config::load(&arguments.config)?;
    let log = tandem_control::init_logging(&config.log);
    for finding in check::machine_check(&config)? {
        tracing::info!("{finding}");
    }

    // Control's threads inherit where this thread may run, so this comes before they do. They come before DPDK, so that
    // the gateway can be asked, and can be told to stop, while that starts.
    let main_core = keep_off(&config.workers.cores);
    let (links, taps, ends) = dataplane::rings(&config);
    let slots = dataplane::flow_slots(&config);
    let fence = Arc::new(Fence::lifted());
    let clock = TscClock::new();
    let mut workers_clock = clock.clone();
    let control = Control::start(Setup {
        config: config.clone(),
        config_path: arguments.config.clone(),
        workers: links,
        taps,
        slots,
        log: Some(log),
        fence: WorkerFence { fence: fence.clone(), clock: Box::new(move || workers_clock.now()) },
        signals: true,
    })
    .context("cannot start")?;
    tracing::info!(node = config.node.name, version = env!("CARGO_PKG_VERSION"), http = %control.http_address(), "starting");

    if arguments.debug_burn_ns > 0 {
        tracing::warn!(ns = arguments.debug_burn_ns, "every received frame is made slower on purpose");
    }
    let data_plane = match DataPlane::start(&config, main_core, ends, arguments.debug_burn_ns, (clock, fence)) {
        Ok(data_plane) => data_plane,
        Err(failure) => {
            control.terminate();
            // There were no calls; what failed is worth more than how the rest ended.
            let _ = control.wait();
            return Err(failure);
        }
    };
    control.data_plane_ready(data_plane.port_reader(), data_plane.spreading());

    let ended = control.wait().context("control")?;
    data_plane.stop()?;
    tracing::info!("ended");
    if ended.calls_cut > 0 || ended.records_lost > 0 {
        return Err(Failure::Incomplete(ended));
    }
    Ok(())
}

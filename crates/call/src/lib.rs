//! Back-to-back user agent, routing and admission as state machines whose outputs are effects.

//! The poll loop: burst in, media, burst out.

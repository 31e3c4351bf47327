//! One core's worth of media: flow table, receive, transcode, send.

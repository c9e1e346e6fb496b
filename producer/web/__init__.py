"""The dashboard: pages rendered here, kept live by server-sent events, usable without JavaScript."""

"""What is on the collector's dashboard; see panels.py."""

from panels import RUN, Dashboard, Panel

_OF = "sum by (source)"

COLLECTOR = Dashboard(
    "collector",
    "Collector",
    "pipeline",
    "label_values(collect_connected, pipeline)",
    "now-6h",
    (
        Panel(
            "Messages and readings a second",
            "ops",
            {
                "{{source}} messages": f"{_OF} (rate(collect_messages_total{RUN}[5m]))",
                "{{source}} readings": f"{_OF} (rate(collect_readings_total{RUN}[5m]))",
            },
            "Messages as they arrive, readings once they are on disk.",
        ),
        Panel(
            "Rejected a second, by reason",
            "ops",
            {
                "{{source}} {{reason}}": (
                    f"sum by (source, reason) (rate(collect_rejected_total{RUN}[5m]))"
                )
            },
            "It lies below rejected/ with its topic and payload.",
        ),
        Panel(
            "Connected",
            "bool_yes_no",
            {"{{source}} {{instance}}": f"collect_connected{RUN}"},
            type="stat",
        ),
        Panel(
            "Lag in Kafka",
            "short",
            {
                "{{source}} {{topic}} {{partition}}": (
                    f"max by (source, topic, partition) (collect_lag_messages{RUN})"
                )
            },
            "Messages that were published and not taken yet. MQTT's brokers don't tell theirs.",
        ),
        Panel(
            "Age of what was taken last",
            "s",
            {
                "{{source}}, since it was published": (
                    f"time() - collect_last_message_timestamp_seconds{RUN}"
                ),
                "{{source}}, by the sender's clock": (
                    f"time() - collect_newest_reading_timestamp_seconds{RUN}"
                ),
            },
            "If only the second is high, a gateway sends late or its clock is wrong.",
        ),
        Panel(
            "Waits to be written",
            "s",
            {
                "{{source}}": f"collect_buffer_age_seconds{RUN}",
                "{{source}} limit": f"collect_buffer_age_limit_seconds{RUN}",
            },
            "Age of the oldest message that is not on disk; far above the limit nothing lands.",
        ),
        Panel(
            "Memory that it takes",
            "bytes",
            {
                "{{source}}": f"collect_buffer_bytes{RUN}",
                "{{source}} limit": f"collect_buffer_limit_bytes{RUN}",
            },
        ),
        Panel(
            "Time of a write, p99",
            "s",
            {
                "{{source}}": (
                    "histogram_quantile(0.99, sum by (source, le) "
                    f"(rate(collect_flush_seconds_bucket{RUN}[5m])))"
                )
            },
        ),
        Panel(
            "Files an hour",
            "short",
            {"{{source}}": f"{_OF} (increase(collect_files_total{RUN}[1h]))"},
            "Many small ones: raise flush.every, or compact.",
        ),
        Panel(
            "Failed writes and connections, an hour",
            "short",
            {
                "{{source}} writes": f"{_OF} (increase(collect_flush_failures_total{RUN}[1h]))",
                "{{source}} connections": f"{_OF} (increase(collect_connects_total{RUN}[1h]))",
            },
        ),
        Panel(
            "Disk, free",
            "percentunit",
            {"{{source}}": f"collect_disk_free_bytes{RUN} / collect_disk_size_bytes{RUN}"},
            "Below a tenth there is an alert.",
        ),
    ),
)

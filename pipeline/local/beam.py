"""Beam's arguments for stages on this machine."""


def arguments(workers: int) -> list[str]:
    """The arguments of a local run.

    The runner is named, since Beam's DirectRunner first tries to download another one. The image's
    name is never used here: TFX packs itself into an archive for each stage unless one is named.

    Args:
      workers: processes; with one, Beam runs in this process, which is quickest for small data.
    """
    mode = "in_memory" if workers == 1 else "multi_processing"
    return [
        "--runner=FnApiRunner",
        f"--direct_running_mode={mode}",
        f"--direct_num_workers={workers}",
        "--sdk_container_image=local",
        "--no_pipeline_type_check",
    ]

"""A video file: one picture a tick, recorded once, because a video is decoded from its beginning."""

from collections.abc import Iterator
from itertools import islice

import av

from env.sources.contract import SourceError, digest
from env.sources.files import find
from env.sources.recorded import Played, RecordedSource
from env.sources.settings import FramesConfig


class Video(RecordedSource):
    """The pictures of a file's first video stream."""

    def __init__(self, config: FramesConfig, frame_size: int) -> None:
        """Decode the file, unless there is a recording.

        Raises:
            SourceError: There is no such file, or no video in it.
        """
        path = find("video", config)
        facts = path.stat()
        file = (str(path), facts.st_size, facts.st_mtime_ns)
        super().__init__(
            "video", config, frame_size, digest("video", *file, config.ticks, config.views, frame_size)
        )

    def play(self) -> Iterator[Played]:
        """Return each picture; the state is unknown."""
        try:
            with av.open(self.config.path) as container:
                if not container.streams.video:
                    raise SourceError("video", f"{self.config.path} holds no video")
                for frame in islice(container.decode(video=0), self.config.ticks or None):
                    yield frame.to_ndarray(format="rgb24"), None
        except av.FFmpegError as error:
            raise SourceError("video", f"{self.config.path} cannot be decoded ({error})") from error

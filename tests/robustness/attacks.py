"""What happens to videos on their way: each a second encode (or more) on top of the delivered file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.robustness.files import convert


@dataclass(frozen=True)
class Attack:
    """`steps`: ffmpeg options of each encode in turn, the last of each the file's ending; `{third}`,
    `{two_thirds}`, `{half}` and `{slower}` stand for frame numbers and five eighths of the frame rate.

    limit: known not to be outlived, and shown all the same.
    """

    words: str
    steps: tuple[tuple[str, ...], ...]
    limit: bool = False

    def run(self, source: Path, folder: Path, *, frames: int, fps: float) -> Path:
        """The attacked file, in `folder`."""
        numbers = {
            "third": frames // 3, "two_thirds": frames * 2 // 3, "half": frames // 2, "slower": fps * 5 / 8,
        }
        for number, step in enumerate(self.steps):
            out = folder / f"step{number}.{step[-1]}"
            convert(source, out, *(option.format(**numbers) for option in step[:-1]))
            source = out
        return source


# A short side of as many pixels.
_SHORT = "scale='if(gt(iw,ih),-2,{0})':'if(gt(iw,ih),{0},-2)'"


def h264(crf: int, filters: str = "", preset: str = "veryfast") -> tuple[str, ...]:
    """Options of an H.264 encode after `filters`."""
    chain = ("-vf", f"{filters},format=yuv420p") if filters else ()
    return (*chain, "-c:v", "libx264", "-preset", preset, "-crf", str(crf), "mp4")


def _scaled(x: float, y: float) -> str:
    return f"scale=trunc(iw*{x}/2)*2:trunc(ih*{y}/2)*2:flags=bicubic"


def _cropped(kept: float, where: float = 0.37) -> str:
    """A cut that keeps `kept` of each side, not from the middle."""
    return f"crop=trunc(iw*{kept}/2)*2:trunc(ih*{kept}/2)*2:(iw-ow)*{where}:(ih-oh)*{1 - where}:exact=1"


def _desktop() -> str:
    """A player in a window: scaled, with a desktop around and a bar on top."""
    return (
        "scale=trunc(iw*0.8/2)*2:trunc(ih*0.8/2)*2:flags=bilinear,"
        "pad=trunc(iw*1.35/2)*2:trunc(ih*1.4/2)*2:(ow-iw)*0.4:(oh-ih)*0.6:color=0x3a4a5c,"
        "drawbox=0:0:iw:ih*0.06:color=0xd0d0d0:t=fill,eq=gamma=1.05:contrast=0.97,fps=30"
    )


ATTACKS: dict[str, Attack] = {
    "delivered": Attack("the file as the app writes it", ()),
    "h264-23": Attack("H.264 CRF 23", (h264(23),)),
    "h264-28": Attack("H.264 CRF 28", (h264(28),)),
    "h264-32": Attack("H.264 CRF 32", (h264(32),)),
    "h265-28": Attack("H.265 CRF 28", (("-c:v", "libx265", "-preset", "fast", "-crf", "28",
                                        "-x265-params", "log-level=error:pools=1", "mp4"),)),
    "vp9-36": Attack("VP9 CRF 36", (("-c:v", "libvpx-vp9", "-crf", "36", "-b:v", "0", "-deadline", "realtime",
                                     "-cpu-used", "6", "webm"),)),
    "av1-40": Attack("AV1 CRF 40", (("-c:v", "libsvtav1", "-preset", "10", "-crf", "40",
                                     "-svtav1-params", "lp=1", "mp4"),)),
    "half-back": Attack("resized to 50 % and back", (h264(23, f"{_scaled(.5, .5)},{_scaled(2, 2)}"),)),
    "resize-75": Attack("resized to 75 %", (h264(23, _scaled(.75, .75)),)),
    "resize-50": Attack("resized to 50 %", (h264(23, _scaled(.5, .5)),)),
    "resize-150": Attack("resized to 150 %", (h264(23, _scaled(1.5, 1.5)),)),
    "crop-10": Attack("crop, 90 % of each side kept", (h264(23, _cropped(.9)),)),
    "crop-20": Attack("crop, 80 % of each side kept", (h264(23, _cropped(.8)),)),
    "crop-20-back": Attack("crop to 80 %, resized back", (h264(23, f"{_cropped(.8)},{_scaled(1.25, 1.25)}"),)),
    "squash": Attack("squashed to 80 % of its width", (h264(23, _scaled(.8, 1)),)),
    "trim": Attack("the middle third in time", (
        h264(23, "trim=start_frame={third}:end_frame={two_thirds},setpts=PTS-STARTPTS"),)),
    "15-fps": Attack("24 -> 15 frames a second", (h264(23, "fps={slower}"),)),
    "faster": Attack("played 1.25 times as fast", (h264(23, "setpts=PTS/1.25"),)),
    "brighter": Attack("brightness +20 %", (h264(23, "lutyuv=y=val*1.1+18"),)),
    "gamma": Attack("gamma 0.7", (h264(23, "eq=gamma=0.7"),)),
    "exposure": Attack("exposure 1.4, saturation 1.5", (h264(23, "eq=contrast=1.4:brightness=0.2:saturation=1.5"),)),
    "grey": Attack("black and white", (h264(23, "hue=s=0"),)),
    "blur": Attack("Gaussian blur, sigma 1.5", (h264(23, "gblur=sigma=1.5"),)),
    "sharpen": Attack("unsharp mask", (h264(23, "unsharp=5:5:1.2"),)),
    "noise": Attack("noise, sigma about 8", (h264(23, "noise=alls=25:allf=t"),)),
    "denoise": Attack("hqdn3d denoiser", (h264(23, "hqdn3d=4:3:6:4.5"),)),
    "flip": Attack("mirrored", (h264(23, "hflip"),)),
    "turned": Attack("turned by 90 degrees", (h264(23, "transpose=1"),)),
    "caption": Attack("caption bar over the lowest 15 %", (h264(23, "drawbox=0:ih*0.85:iw:ih*0.15:color=black:t=fill,"
                      "drawbox=iw*0.2:ih*0.9:iw*0.6:ih*0.05:color=white:t=fill"),)),
    "letterbox": Attack("black bars to a square", (h264(23, "pad=max(iw\\,ih)+64:max(iw\\,ih)+64:-1:-1"),)),
    "story": Attack("as a vertical story: scaled into 720x1280, blurred sides", (h264(
        25, "split[a][b];[a]scale=720:1280,gblur=20[c];[b]scale=720:1280:force_original_aspect_ratio=decrease"
        ":force_divisible_by=2[d];[c][d]overlay=(W-w)/2:(H-h)/2"),)),
    "screen": Attack("screen recording of a player at 80 %, 30 fps", (h264(26, _desktop()),)),
    "two-gen": Attack("two generations: H.264 CRF 26 at 75 %, then CRF 26", (h264(26, _scaled(.75, .75)), h264(26))),
    "messenger": Attack("messenger: short side 360 at CRF 28, then forwarded, CRF 28", (
        h264(28, _SHORT.format(360)), h264(28))),
    "gif": Attack("GIF, half size, 12 frames a second", ((
        "-vf", f"fps=12,{_scaled(.5, .5)},split[a][b];[a]palettegen[p];[b][p]paletteuse", "gif"),)),
    "screenshot": Attack("one frame as JPEG", ((
        "-vf", "select=eq(n\\,{half})", "-frames:v", "1", "-q:v", "4", "jpg"),)),
    "keep-50": Attack("crop, 50 % of each side kept", (h264(23, _cropped(.5)),)),
    "rotate-3": Attack("rotated by 3 degrees", (h264(23, "rotate=3*PI/180"),), limit=True),
    "tiny": Attack("short side 128 at CRF 28", (h264(28, _SHORT.format(128)),), limit=True),
    "ruined": Attack("H.264 CRF 38", (h264(38),), limit=True),
}

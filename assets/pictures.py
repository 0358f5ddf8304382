#!/usr/bin/env python3
"""Makes the recording and the screenshots in assets/: runs the release build's demo in a terminal and draws what it says.

    cargo build --release && assets/pictures.py [recording] [screenshots]

Keys are typed when the screen shows what they wait for; nothing on the pictures is written by this script. The terminal is
pyte, the drawing is Pillow, both put into target/pictures/venv on the first call (the only use of the network). The font is
DejaVu Sans Mono, or the file that FONT names (FONT_BOLD for its bold cut).
"""

import fcntl
import html
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = TARGET / "release" / "resident"
VENV = ROOT / "target" / "pictures" / "venv"
NEEDS = ["pyte==0.8.2", "pillow==13.0.0"]

try:
    import pyte
    from PIL import Image, ImageDraw, ImageFont
except ImportError:
    if Path(sys.prefix) == VENV:
        raise
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    subprocess.run([VENV / "bin" / "pip", "install", "--quiet", *NEEDS], check=True)
    os.execv(VENV / "bin" / "python", [VENV / "bin" / "python", *sys.argv])

# The sixteen colours of a terminal by pyte's names, on dark and on light ground.
NAMES = ["black", "red", "green", "brown", "blue", "magenta", "cyan", "white"]
NAMES += ["bright" + name for name in NAMES]
VALUES = {
    "dark": "000000 cd3131 0dbc79 e5e510 3b8eea bc3fbc 11a8cd cccccc 767676 f14c4c 23d18b f5f543 6cb6ff d670d6 29b8db ffffff",
    "light": "000000 cd3131 00803c 7a6400 0451a5 bc05bc 05769c 555555 666666 cd3131 107c10 8a6d00 0451a5 bc05bc 0598bc a5a5a5",
}
# pyte would make its own values of these sixteen.
pyte.graphics.FG_BG_256[:16] = NAMES
GROUND = {"dark": ("101418", "d0d4d8"), "light": ("ffffff", "24292f")}
# Glyphs that are drawn as areas, so that no font leaves gaps in a bar.
DENSITY = {"█": 1.0, "▓": 0.75, "▒": 0.5, "░": 0.25}
# How much of a dim text's colour is left.
DIM = 0.65
CELL = (9, 18)


class Screen(pyte.Screen):
    """A screen that knows dim text too: pyte does not, so its flag for blinking, which nothing here uses, stands for it."""

    def select_graphic_rendition(self, *attrs, **more):
        attrs = {(2,): (5,), (22,): (22, 25)}.get(attrs, attrs)
        super().select_graphic_rendition(*attrs, **more)


class Terminal:
    """The program in a pty of its own, with a journal and a screen memory that end with it."""

    def __init__(self, size, *flags, **env):
        self.size = size
        self.screen = Screen(*size)
        self.stream = pyte.ByteStream(self.screen)
        self.home = tempfile.mkdtemp(prefix="resident-pictures-")
        self.frames = []
        self.start = time.monotonic()
        argv = [str(BINARY), "--demo", *flags]
        # The cache stays where it is: the demo's model files are in it.
        kept = {key: os.environ[key] for key in ("HOME", "PATH", "XDG_CACHE_HOME") if key in os.environ}
        kept.update(TERM="xterm-256color", COLORTERM="truecolor", LANG="C.UTF-8", XDG_STATE_HOME=self.home)
        kept.update(XDG_CONFIG_HOME=self.home, **env)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(self.home)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
            os.execve(argv[0], argv, {key: value for key, value in kept.items() if value})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.type("q")
        self.rest(1.0)
        self.type("y")
        deadline = time.monotonic() + 10
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(self.pid, 15)
                os.waitpid(self.pid, 0)
                break
            self.read(0.05)
        os.close(self.fd)
        shutil.rmtree(self.home, ignore_errors=True)

    def read(self, seconds):
        """Takes what the program says within that time."""
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                self.stream.feed(os.read(self.fd, 1 << 16))
            except OSError:
                time.sleep(seconds)
                return
            # What belongs to the same frame comes at once.
            while select.select([self.fd], [], [], 0.01)[0]:
                try:
                    self.stream.feed(os.read(self.fd, 1 << 16))
                except OSError:
                    return
            self.frames.append((time.monotonic() - self.start, rows(self.screen)))

    def rest(self, seconds):
        """Looks on for that long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.read(min(left, 0.1))

    def until(self, text, seconds=60):
        """Looks on until the screen shows the text."""
        end = time.monotonic() + seconds
        while text not in "\n".join(self.screen.display):
            if time.monotonic() > end:
                sys.exit(f"{text!r} did not come:\n" + "\n".join(self.screen.display))
            self.read(0.1)

    def type(self, keys):
        try:
            os.write(self.fd, keys.encode())
        except OSError:
            pass


def rows(screen):
    """The screen as rows of runs: where each begins, its text and its look."""
    made = []
    for y in range(screen.lines):
        runs = []
        for x in range(screen.columns):
            cell = screen.buffer[y][x]
            fg, bg = (cell.bg, cell.fg) if cell.reverse else (cell.fg, cell.bg)
            look = (fg, bg, cell.bold, cell.blink, cell.reverse, cell.data in DENSITY and cell.data)
            if runs and runs[-1][2] == look:
                runs[-1][1].append(cell.data)
            else:
                runs.append((x, [cell.data], look))
        made.append(tuple((x, "".join(text), look) for x, text, look in runs))
    return tuple(made)


def colour(name, ground, reverse, is_back):
    if name == "default":
        return "#" + GROUND[ground][int(is_back == reverse)]
    values = dict(zip(NAMES, VALUES[ground].split()))
    return "#" + values.get(name, name)


def svg(frames, size, end):
    """One group per different row, each frame a stack of them, the frames side by side in a film that moves by steps."""
    width, height = size[0] * CELL[0], size[1] * CELL[1]
    known, film, keys = {}, [], []
    last = None
    kept = []
    for at, frame in frames:
        if frame == last:
            continue
        if kept and at - kept[-1][0] < 0.08:
            kept.pop()
        kept.append((at, frame))
        last = frame
    first = kept[0][0]
    length = end - first
    for number, (at, frame) in enumerate(kept):
        uses = []
        for y, row in enumerate(frame):
            if not any(text.strip() or look[1] != "default" or look[4] for _, text, look in row):
                continue
            name = known.setdefault(row, f"r{len(known)}")
            uses.append(f'<use href="#{name}" y="{y * CELL[1]}"/>')
        film.append(f'<g transform="translate({number * width})">{"".join(uses)}</g>')
        keys.append(f"{(at - first) / length * 100:.3f}%{{transform:translateX({-number * width}px)}}")
    keys.append(f"to{{transform:translateX({-(len(kept) - 1) * width}px)}}")
    defs = []
    for row, name in known.items():
        parts = []
        for x, text, (fg, bg, bold, dim, reverse, area) in row:
            left, wide = x * CELL[0], len(text) * CELL[0]
            fore, back = colour(fg, "dark", reverse, False), colour(bg, "dark", reverse, True)
            if dim:
                fore = "#%02x%02x%02x" % mix(fore, back, DIM)
            if back != "#" + GROUND["dark"][0]:
                parts.append(f'<rect x="{left}" width="{wide}" height="{CELL[1]}" fill="{back}"/>')
            if area:
                parts.append(f'<rect x="{left}" y="2" width="{wide}" height="{CELL[1] - 4}" fill="{fore}" opacity="{DENSITY[area]}"/>')
            elif text.strip():
                # Each word on its own place: no font's width can push the columns apart.
                at = 0
                for word in text.split(" "):
                    if word:
                        weight = ' font-weight="bold"' if bold else ""
                        parts.append(
                            f'<text x="{left + at * CELL[0]}" y="14" textLength="{len(word) * CELL[0]}" fill="{fore}"{weight}>'
                            f"{html.escape(word)}</text>"
                        )
                    at += len(word) + 1
        defs.append(f'<g id="{name}">{"".join(parts)}</g>')
    edge = 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 2 * edge} {height + 2 * edge}" '
        f'width="{width + 2 * edge}" height="{height + 2 * edge}">'
        f"<style>text{{font:15px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}}"
        f"@keyframes film{{{''.join(keys)}}}"
        f".film{{animation:film {length:.2f}s step-end infinite}}</style>"
        f'<defs>{"".join(defs)}</defs>'
        f'<rect width="100%" height="100%" rx="8" fill="#{GROUND["dark"][0]}" stroke="#768390"/>'
        f'<svg x="{edge}" y="{edge}" width="{width}" height="{height}"><g class="film">{"".join(film)}</g></svg></svg>\n'
    ), len(kept), length


def png(frame, size, ground, path):
    """One frame as a picture with a palette."""
    font, bold = fonts()
    width, height = CELL
    image = Image.new("RGB", (size[0] * width, size[1] * height), "#" + GROUND[ground][0])
    draw = ImageDraw.Draw(image)
    for y, row in enumerate(frame):
        for x, text, (fg, bg, is_bold, dim, reverse, area) in row:
            fore, back = colour(fg, ground, reverse, False), colour(bg, ground, reverse, True)
            if dim:
                fore = "#%02x%02x%02x" % mix(fore, back, DIM)
            box = [x * width, y * height, (x + len(text)) * width - 1, (y + 1) * height - 1]
            draw.rectangle(box, fill=back)
            if area:
                draw.rectangle([box[0], box[1] + 2, box[2], box[3] - 2], fill=mix(fore, back, DENSITY[area]))
                continue
            for at, glyph in enumerate(text):
                if glyph.strip():
                    draw.text(((x + at) * width, y * height), glyph, font=bold if is_bold else font, fill=fore)
    image.quantize(48).save(path, optimize=True)


def mix(fore, back, part):
    pairs = [(int(fore[at : at + 2], 16), int(back[at : at + 2], 16)) for at in (1, 3, 5)]
    return tuple(round(one * part + other * (1 - part)) for one, other in pairs)


def fonts():
    folder = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono"
    plain = os.environ.get("FONT", folder + ".ttf")
    bold = os.environ.get("FONT_BOLD", plain if "FONT" in os.environ else folder + "-Bold.ttf")
    return ImageFont.truetype(plain, 15), ImageFont.truetype(bold, 15)


def ready(terminal):
    terminal.until("qwen2.5-coder")
    terminal.rest(2.5)


def recording():
    """Start, models by tier, a swap with its stopwatch, a pin, a workflow with lookahead."""
    size = (110, 28)
    with Terminal(size) as terminal:
        ready(terminal)
        terminal.type("j")
        terminal.rest(0.6)
        terminal.type("\r")
        terminal.rest(5)
        terminal.type("p")
        terminal.rest(2)
        # Let go again: a workflow would ask before it displaces a pin.
        terminal.type("p")
        terminal.rest(1)
        terminal.type("f")
        terminal.rest(1.5)
        terminal.type("\r")
        terminal.until("done in")
        terminal.rest(5)
        end = time.monotonic() - terminal.start
        frames = list(terminal.frames)
    text, count, length = svg(frames, size, end)
    path = ASSETS / "recording.svg"
    path.write_text(text)
    print(f"{path.relative_to(ROOT)}: {len(text) >> 10} KiB, {count} frames, {length:.1f} s")


THEMES = ["dark", "light", "high-contrast", "safe", "mono"]


def screenshot(name, size, *flags, ground="dark", presses=0, **env):
    with Terminal(size, *flags, **env) as terminal:
        ready(terminal)
        terminal.type("T" * presses)
        terminal.type("j\r")
        terminal.rest(4)
        frame = rows(terminal.screen)
    path = ASSETS / f"screen-{name}.png"
    png(frame, size, ground, path)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size >> 10} KiB")


def screenshots():
    for size in [(80, 24), (120, 30), (200, 60)]:
        screenshot(f"{size[0]}x{size[1]}", size)
    for presses, theme in enumerate(THEMES):
        screenshot(theme, (100, 24), ground="light" if theme == "light" else "dark", presses=presses)
    screenshot("16-colours", (100, 24), COLORTERM="")
    screenshot("ascii", (100, 24), "--ascii")


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["recording", "screenshots"]
    if not BINARY.exists():
        sys.exit(f"{BINARY} is not there: cargo build --release")
    for name in wanted:
        {"recording": recording, "screenshots": screenshots}[name]()

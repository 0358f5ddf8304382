"""Model swaps for an agent, on top of the program `resident`. Standard library only, Python 3.8 or newer.

    from resident_agent import SmartModelManager

    models = SmartModelManager("http://localhost:11434", "config.yaml")
    models.startup_preload()                      # read the models of the preload list into RAM
    with models:                                  # one run: it is over at the end of the block
        models.smart_load_for_phase("context", next_phase="execution")
        ...                                       # ask the model through Ollama as usual
        models.smart_load_for_phase("execution", next_phase="verification")

Every method is one command of `resident`, which does the work and knows what is where: nothing is remembered here that
another program could change. A dashboard (`resident` in a terminal) shows each run as it goes, and reads the model of
`next_phase` into RAM while this one works.

The program is found by the argument `resident`, else $RESIDENT_BIN, else on the PATH.
"""

import json
import logging
import os
import shutil
import subprocess
import tempfile
import uuid
import weakref
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Type, Union

__all__ = ["ResidentError", "SmartModelManager"]

log = logging.getLogger("resident")

# What an agent's own settings may hold of `resident`'s; all else in them is the agent's business.
_OF_OLLAMA = ("host", "port", "model", "keep_alive", "return_to_primary", "models_dir", "preload", "preload_models")
_SECTIONS = ("memory", "phases", "models", "ui")


class ResidentError(RuntimeError):
    """A command of `resident` did not do what it was asked; the text says why.

    `code` is its exit code (`None`: it could not be started), `command` what was run, `result` its JSON, if it gave
    any.
    """

    FAILED, USAGE, REFUSED, TIMED_OUT, NO_SERVER = 1, 2, 3, 4, 5

    def __init__(
        self,
        message: str,
        code: Optional[int] = None,
        command: Sequence[str] = (),
        result: Optional[Dict[str, Any]] = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.command = list(command)
        self.result = result or {}


class SmartModelManager:
    """Has the model of each step of an agent's work in VRAM when it is needed, without a wait for the disk.

    ollama_api: where the server listens, such as `http://localhost:11434`; `None` leaves that to the config.
    config: the path of a config.yaml; or a dict, either a whole config (`{"ollama": {...}, "phases": {...}}`) or only
        what stands under `ollama` (`{"keep_alive": "60m", "preload_models": [...]}`), with `phases` beside it if you
        like; `None` leaves it to `resident`, which looks in its usual places.
    resident: the program.
    run: what to call this agent's work on a dashboard; by default a name that no other run has.
    timeout: how long a model may take to become ready, such as `"2m"`; without one as long as it takes.
    yes: also displace models that are pinned or busy.
    """

    def __init__(
        self,
        ollama_api: Optional[str] = None,
        config: Union[None, str, "os.PathLike[str]", Mapping[str, Any]] = None,
        *,
        resident: Optional[str] = None,
        run: Optional[str] = None,
        timeout: Optional[str] = None,
        yes: bool = False,
    ) -> None:
        self.api = ollama_api
        self._named = run
        self.run = run or _new_run()
        self.timeout = timeout
        self.yes = yes
        self.current_vram_model: Optional[str] = None
        self.ram_preloaded: Set[str] = set()
        self._program = _find(resident)
        self._holds = False
        self._began = False
        self._ends = ExitStack()
        # Also when this object is forgotten, or the agent ends.
        weakref.finalize(self, self._ends.close)
        self._listed: List[str] = []
        self._config: Optional[str] = None
        if isinstance(config, Mapping):
            own = _sections(config)
            self._listed = _listed(own.get("ollama", {}))
            if own:
                # JSON is YAML.
                handle, self._config = tempfile.mkstemp(prefix="resident-", suffix=".yaml")
                self._ends.callback(_remove, self._config)
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(own, file)
        elif config is not None:
            self._config = os.fspath(config)

    # The methods of the idea, one by one.

    def startup_preload(self, hold: bool = False) -> List[str]:
        """Reads the models of the preload list into RAM, and returns those that are there now.

        A model that cannot be read is logged and left out. With `hold` they are also kept there, until `close`.
        """
        for names in [[name] for name in self._listed] or [None]:
            try:
                for done in self._lines("warm", *([] if names else ["--all"]), names=names or ()):
                    self.ram_preloaded.add(done["model"])
                    log.info("%s preloaded to RAM (%.1fs)", done["model"], done.get("took_seconds") or 0.0)
            except ResidentError as error:
                if error.code in (None, ResidentError.USAGE, ResidentError.NO_SERVER):
                    raise
                log.warning("preload failed: %s", error)
        if hold and not self._holds:
            everything = [] if self._listed else ["--all"]
            command = self._command("hold", "--foreground", *everything, names=self._listed)
            nowhere = subprocess.DEVNULL
            self._ends.callback(_end, subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere))
            self._holds = True
        return sorted(self.ram_preloaded)

    def ensure_in_vram(self, model: str, task_type: Optional[str] = None) -> bool:
        """Makes `model` ready in VRAM and returns True; where it was there already, only its countdown restarts.

        `task_type` is what a dashboard calls the step.
        """
        self._phase(task_type or model, "--model=" + model)
        return True

    def refresh_keep_alive(self, model: str) -> None:
        """Restarts the countdown of a loaded model, so that it stays."""
        self._one("touch", names=[model])

    def smart_load_for_phase(self, phase: str, next_phase: Optional[str] = None) -> bool:
        """Makes the model of a phase of the config ready in VRAM, and returns True.

        A phase that the config does not know gets the primary model. `next_phase`, a phase or a model, is read into
        RAM meanwhile if a dashboard runs.
        """
        self._phase(phase, *([] if next_phase is None else ["--next=" + next_phase]))
        return True

    def get_model_status(self) -> Dict[str, Any]:
        """Which model is in VRAM, which need no disk, and the keep_alive; under `status` all that is known."""
        status = self._one("status")
        self.current_vram_model = status["vram_model"]
        self.ram_preloaded = set(status["ram_preloaded"])
        return {
            "vram_model": status["vram_model"],
            "ram_preloaded": status["ram_preloaded"],
            "keep_alive": status["keep_alive"],
            "status": status,
        }

    # A run, and its end.

    def over(self) -> None:
        """The run is over: dashboards need not wait for its next step."""
        self._one("phase", "--over", "--run=" + self.run)
        self._began = False

    def close(self) -> None:
        """Lets go what `startup_preload(hold=True)` keeps in RAM, and removes what was written for `resident`.

        An object that is forgotten, or an agent that ends, does this by itself.
        """
        self._ends.close()
        self._holds = False

    def __enter__(self) -> "SmartModelManager":
        self.run = self._named or _new_run()
        self._began = False
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if not self._began:
            return
        try:
            self.over()
        except ResidentError as failed:
            # What ended the block matters more.
            log.warning("the end of the run is not told: %s", failed)

    # How `resident` is called.

    def _phase(self, name: str, *options: str) -> None:
        ready = self._one("phase", *options, "--run=" + self.run, *self._limits(), names=[name])
        self._began = True
        self.current_vram_model = ready["model"]
        if ready["already_in_vram"]:
            log.debug("%s already in VRAM", ready["model"])
        else:
            log.info("%s ready in %.2fs", ready["model"], ready["took_seconds"])

    def _limits(self) -> List[str]:
        limits = [] if self.timeout is None else ["--timeout=" + self.timeout]
        return limits + (["--yes"] if self.yes else [])

    def _command(self, *arguments: str, names: Sequence[str] = ()) -> List[str]:
        """A command line. What the caller named comes last, or after a `=`: no name is taken for an option."""
        command = [self._program, *arguments]
        if self.api is not None:
            command.append("--host=" + self.api)
        if self._config is not None:
            command.append("--config=" + self._config)
        return [*command, "--", *names] if names else command

    def _one(self, *arguments: str, names: Sequence[str] = ()) -> Dict[str, Any]:
        """Runs a command that gives one JSON object."""
        return _parsed(self._output(*arguments, names=names))

    def _lines(self, *arguments: str, names: Sequence[str] = ()) -> List[Dict[str, Any]]:
        """Runs a command that gives a JSON object a line."""
        return [_parsed(line) for line in self._output(*arguments, names=names).splitlines()]

    def _output(self, *arguments: str, names: Sequence[str] = ()) -> str:
        command = self._command(*arguments, "--json", names=names)
        try:
            ended = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False
            )
        except OSError as error:
            raise ResidentError("cannot run {}: {}".format(command[0], error), command=command) from error
        out, remarks = (text.decode("utf-8", "replace").strip() for text in (ended.stdout, ended.stderr))
        if ended.returncode != 0:
            results = [_parsed(line) for line in out.splitlines() if line.startswith("{")]
            failed = [result for result in results if result.get("error")]
            why = failed[0]["error"] if failed else remarks or "it ended without a word"
            name = "{}: ".format(failed[0]["model"]) if failed and failed[0].get("model") else ""
            raise ResidentError(name + why, ended.returncode, command, failed[0] if failed else None)
        for remark in remarks.splitlines():
            log.info("%s", remark)
        return out


def _new_run() -> str:
    return "agent-" + uuid.uuid4().hex[:8]


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()


def _find(named: Optional[str]) -> str:
    """The program: by the argument, by $RESIDENT_BIN, or on the PATH."""
    program = named or os.environ.get("RESIDENT_BIN") or shutil.which("resident")
    if not program:
        raise ResidentError("resident is not on the PATH: install it, set RESIDENT_BIN, or name it with resident=")
    return program


def _parsed(text: str) -> Dict[str, Any]:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ResidentError("resident gave no JSON: {!r}".format(text[:200])) from error


def _sections(config: Mapping[str, Any]) -> Dict[str, Any]:
    """What of an agent's settings is for `resident`, in the shape of its config file."""
    is_whole = "ollama" in config
    flat = (config["ollama"] or {}) if is_whole else config
    ollama = {key: flat[key] for key in _OF_OLLAMA if key in flat}
    sections = {key: config[key] for key in (_SECTIONS if is_whole else ("phases",)) if key in config}
    return {"ollama": ollama, **sections} if ollama or sections else {}


def _listed(ollama: Mapping[str, Any]) -> List[str]:
    """The preload list: a bare list, or what stands under `models`."""
    preload = ollama.get("preload", ollama.get("preload_models")) or []
    if isinstance(preload, Mapping):
        preload = preload.get("models") or []
    return [str(model) for model in preload]

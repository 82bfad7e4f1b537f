"""``galtrans info``: what a file is, and what there is by name."""

from astro_galtrans.cli._common import Result

__all__ = ["add_info", "info"]

_FITS = (b"SIMPLE  =", b"BZh", b"\x1f\x8b")


def add_info(verb):
    """Add the arguments of the verb."""
    verb.add_argument("what", nargs="*", metavar="WHAT", help="translators, cubes, pairs, redshift estimators and "
                      "densities, files of surveys, or names of surveys or of translators that come with the package "
                      "(default: which of these there are)")


def info(options):
    """Run the verb."""
    if not options.what:
        return _registered()
    found = [_found(name) for name in options.what]
    lines = []
    for one in found:
        lines += ([""] if lines else []) + _lines(one)
    return Result(lines, {"found": found})


def _registered():
    """The surveys and translators that are known by name."""
    from astro_galtrans.storage import shipped_translators
    from astro_galtrans.surveys import available_surveys, get_survey

    surveys = {name: get_survey(name) for name in available_surveys()}
    translators = shipped_translators()
    width = max(map(len, (*surveys, *translators)))
    lines = ["surveys:"]
    lines += [f"  {name:{width}}  {','.join(survey.band_names)}; {survey.pixel_scale.to_value('arcsec'):.3g} arcsec a "
              f"pixel, {survey.unit}" for name, survey in surveys.items()]
    lines += ["translators:", *(f"  {name:{width}}  {text}" for name, text in translators.items())]
    return Result(lines, {
        "surveys": [{"name": name, "bands": survey.band_names, "pixel_scale": survey.pixel_scale.to("arcsec"),
                     "unit": survey.unit, "description": survey.description} for name, survey in surveys.items()],
        "translators": [{"name": name, "description": text} for name, text in translators.items()]})


def _found(name):
    """What is meant by an argument, a dict."""
    from astro_galtrans.cli._describe import described
    from astro_galtrans.images import split_path

    path = split_path(name)[0]
    if path.is_dir():
        from astro_galtrans.pairs import PairSet

        return {"path": name, **described(PairSet.open(path))}
    if not path.exists():
        return _by_name(name)
    if path.suffix.lower() in (".yaml", ".yml"):
        from astro_galtrans.surveys import get_survey

        return {"path": name, **described(get_survey(path))}
    with open(path, "rb") as file:
        start = file.read(9)
    if start.startswith(_FITS):
        from astro_galtrans.images import read_cube

        return {"path": name, **described(read_cube(name))}
    if not start.startswith(b"#ASDF"):
        raise ValueError(f"{name} is neither ASDF, FITS, YAML nor a set of pairs")
    from astro_galtrans.storage import load

    held = load(path)
    if not isinstance(held, dict):
        return {"path": name, **described(held)}
    return {"path": name, "kind": "several objects", **{key: described(value) for key, value in held.items()}}


def _by_name(name):
    from astro_galtrans.cli._describe import described
    from astro_galtrans.storage import load, shipped_translators
    from astro_galtrans.surveys import available_surveys, get_survey, same_name

    if name in shipped_translators():
        return described(load(name))
    if any(same_name(name, known) for known in available_surveys()):
        return described(get_survey(name))
    raise FileNotFoundError(f"there is no file {name}, nor a survey or translator of this name; "
                            f"those that there are: {', '.join([*available_surveys(), *shipped_translators()])}")


def _lines(data, indent=""):
    """A description as aligned lines; what is long or nested goes below its name."""
    data = {key.replace("_", " "): value for key, value in data.items() if value is not None and value != ""}
    width = max((len(key) for key, value in data.items() if not isinstance(value, dict)), default=0) + 1
    lines = []
    for key, value in data.items():
        if key == "versions":
            value = [f"{package} {version}" for package, version in value.items()]
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, f"{indent}  ")] if value else []
            continue
        first, *rest = _text(value).splitlines() or [""]
        lines.append(f"{indent}{f'{key}:':{width}} {first}".rstrip())
        lines += [f"{indent}{' ' * width} {line}".rstrip() for line in rest]
    return lines


def _text(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    if hasattr(value, "unit") and hasattr(value, "value"):
        return f"{value.value:.6g} {value.unit}"
    return str(value)

"""Archives that answer from memory, with small responses that have the form of theirs."""

import bz2
import gzip
import io
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from astropy.io import fits

requests = pytest.importorskip("requests")
urllib3 = pytest.importorskip("urllib3")
pytest.importorskip("astroquery")


class Transport:
    """Stands for the network: the first answer whose part is in the address of a request is given.

    An answer is text, bytes, an error, or a function of the address.
    """

    def __init__(self):
        self.answers, self.asked = [], []

    def add(self, part, content, status=200):
        content = content.encode() if isinstance(content, str) else content
        self.answers.insert(0, (part, content, status))

    def send(self, session, request, **options):
        self.asked.append(request.url)
        response = requests.Response()
        response.status_code, content, response.reason = 404, b"<html>not here</html>", "Not Found"
        body = request.body.decode() if isinstance(request.body, bytes) else str(request.body)
        url = request.url.replace("//sync", "/sync")
        for part, answer, status in self.answers:
            if part in url or part in body:
                if isinstance(answer, Exception):
                    raise answer
                content = answer(request.url) if callable(answer) else answer
                response.status_code, response.reason = status, "OK" if status == 200 else "Trouble"
                break
        response.raw = urllib3.HTTPResponse(io.BytesIO(content), preload_content=False)
        response.url, response.request = request.url, request
        response.headers["Content-Type"] = "application/x-votable+xml"
        return response


@pytest.fixture
def transport(monkeypatch):
    from astro_galtrans.archives import _archive

    network = Transport()
    monkeypatch.setattr(requests.Session, "send", lambda session, request, **options: network.send(
        session, request, **options))
    monkeypatch.setattr(_archive, "_PAUSE", 0)
    return network


def fits_bytes(hdus):
    file = io.BytesIO()
    hdus.writeto(file)
    return file.getvalue()


def image(side=40, scale=0.396, **cards):
    header = fits.Header({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 229.59, "CRVAL2": 42.82, "CRPIX1": (side + 1) / 2,
        "CRPIX2": (side + 1) / 2, "CD1_1": -scale / 3600, "CD2_2": scale / 3600, **cards})
    data = np.random.default_rng(side).normal(0, 0.02, (side, side)).astype(np.float32)
    return fits.PrimaryHDU(data, header)


def frame(band, side=40):
    """An SDSS frame as the archive sends it."""
    table = fits.BinTableHDU.from_columns([
        fits.Column("ALLSKY", "4E", dim="(2, 2)", array=np.full((1, 2, 2), 150.0)),
        fits.Column("XINTERP", f"{side}E", array=np.linspace(0, 1, side)[np.newaxis]),
        fits.Column("YINTERP", f"{side}E", array=np.linspace(0, 1, side)[np.newaxis])])
    primary = image(side, RUN=3918, CAMCOL=3, FRAME=213, FILTER=band, BUNIT="nanomaggy", NMGY=0.005)
    return bz2.compress(fits_bytes(fits.HDUList([primary, fits.ImageHDU(np.full(side, 0.005, "f4")), table])))


def psfield():
    hdus = [fits.PrimaryHDU(header=fits.Header({"RUN": 3918, "CAMCOL": 3, "FIELD": 213}))]
    y, x = np.indices((9, 9)) - 4
    rows = np.empty(1, dtype=object)
    rows[0] = np.exp(-(x**2 + y**2) / 4).ravel().astype(np.float32)
    c = np.zeros((1, 5, 5))
    c[0, 0, 0] = 1
    for _ in range(5):
        hdus.append(fits.BinTableHDU.from_columns([
            *(fits.Column(name, "1J", array=[value]) for name, value in (
                ("nrow_b", 1), ("ncol_b", 1), ("RNROW", 9), ("RNCOL", 9))),
            fits.Column("c", "25E", dim="(5,5)", array=c), fits.Column("RROWS", "PE()", array=rows)]))
    hdus.append(fits.BinTableHDU.from_columns([fits.Column("field", "1J", array=[213])]))
    return fits_bytes(fits.HDUList(hdus))


def fpm(side=40):
    """A mask with one pixel interpolated."""
    header = {"RUN": 3918, "CAMCOL": 3, "FIELD": 213, "MASKROWS": side, "MASKCOLS": side, "NPLANE": 10}
    hdus = [fits.PrimaryHDU(header=fits.Header(header))]
    for plane in range(10):
        n_objects = 1 if plane == 0 else 0
        heap = np.empty(n_objects, dtype=object)
        heap[:] = [np.frombuffer(np.array([5, 6, 6], dtype=">i2").tobytes(), dtype=np.uint8)] * n_objects
        hdus.append(fits.BinTableHDU.from_columns([
            *(fits.Column(name, "1J", array=np.full(n_objects, value, dtype=np.int32)) for name, value in (
                ("nspan", 1), ("row0", 0), ("col0", 0))), fits.Column("span", "PB()", array=heap)]))
    return gzip.compress(fits_bytes(fits.HDUList(hdus)))


@pytest.fixture
def sdss(transport):
    """The server of SDSS, with one field."""
    transport.add("x_results.aspx", "#Table1\nrun,rerun,camcol,field\n3918,301,3,213\n")
    for band in "ugriz":
        transport.add(f"photoObj/frames/301/3918/3/frame-{band}-003918-3-0213.fits.bz2", frame(band))
        transport.add(f"photo/redux/301/3918/objcs/3/fpM-003918-{band}3-0213.fit.gz", fpm())
    transport.add("photo/redux/301/3918/objcs/3/psField-003918-3-0213.fit", psfield())
    return transport


VOTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE xmlns="http://www.ivoa.net/xml/VOTable/v1.3" version="1.3">
<RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/><TABLE>{fields}<DATA><TABLEDATA>{rows}
</TABLEDATA></DATA></TABLE></RESOURCE>{more}</VOTABLE>"""


def make_votable(columns, rows, more=""):
    size = {"char": ' arraysize="*"'}
    fields = "".join(f'<FIELD name="{name}" datatype="{kind}"{size.get(kind, "")}/>' for name, kind in columns)
    cells = "".join("<TR>" + "".join(f"<TD>{cell}</TD>" for cell in row) + "</TR>" for row in rows)
    return VOTABLE.format(fields=fields, rows=cells, more=more)


PLANES = [  # filter, calibration level, exposure
    ("u.MP9301", 3, 4800), ("g.MP9401", 3, 500), ("g.MP9401", 3, 5500), ("g.MP9401", 2, 9000), ("r.MP9601", 3, 2180),
    ("r.MP9602", 3, 9999), ("i.MP9701", 3, 6150), ("i.MP9702", 3, 4305), ("z.MP9801", 3, 3600)]
CAPABILITIES = """<capabilities><capability standardID="ivo://ivoa.net/std/DataLink#links-1.0"><interface>
<accessURL>https://cadc.test/caom2ops/datalink</accessURL></interface></capability></capabilities>"""
TAP = """<?xml version="1.0"?><vosi:capabilities xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0"
xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<capability standardID="ivo://ivoa.net/std/TAP"><interface xsi:type="vs:ParamHTTP" role="std" version="1.1">
<accessURL use="base">https://cadc.test/argus</accessURL></interface></capability></vosi:capabilities>"""
CUTOUT = """<RESOURCE type="meta" utype="adhoc:service" ID="soda-{id}">
<PARAM name="standardID" datatype="char" arraysize="*" value="ivo://ivoa.net/std/SODA#sync-1.0"/>
<PARAM name="accessURL" datatype="char" arraysize="*" value="https://cadc.test/caom2ops/sync"/>
<GROUP name="inputParams"><PARAM name="ID" datatype="char" arraysize="*" value="{id}"/></GROUP></RESOURCE>"""


@pytest.fixture
def cadc(transport, monkeypatch):
    """The Canadian Astronomy Data Centre, with the MegaPipe stacks of one place."""
    from astroquery.cadc.core import get_access_url
    from pyvo.utils import vocabularies

    monkeypatch.setattr(get_access_url, "caps", {})
    terms = {name: {"wider": [], "narrower": []} for name in ("this", "cutout", "proc", "auxiliary", "preview")}
    monkeypatch.setattr(vocabularies, "get_vocabulary", lambda name, **options: {"terms": terms})
    transport.add("reg/resource-caps", "# registry\nivo://cadc.nrc.ca/argus = https://cadc.test/argus/capabilities\n"
                  "ivo://cadc.nrc.ca/caom2ops = https://cadc.test/caom2ops/capabilities\n")
    transport.add("caom2ops/capabilities", CAPABILITIES)
    transport.add("argus/capabilities", TAP)
    transport.add("argus/sync", make_votable(
        [("publisherID", "char"), ("energy_bandpassName", "char"), ("calibrationLevel", "int"),
         ("dataProductType", "char"), ("time_exposure", "double")],
        [(f"plane-{index}", name, level, "image", time) for index, (name, level, time) in enumerate(PLANES)]))
    for index, (name, _, time) in enumerate(PLANES):
        columns = [("ID", "char"), ("access_url", "char"), ("service_def", "char"), ("semantics", "char")]
        rows = [(f"plane-{index}", f"https://cadc.test/{index}.fits", "", "#this"),
                (f"plane-{index}", "", f"soda-plane-{index}", "#cutout")]
        transport.add(f"datalink?ID=plane-{index}", make_votable(columns, rows, CUTOUT.format(id=f"plane-{index}")))
        cutout = image(30, 0.186, FILTER=name, PHOTZP=30.0, EXPTIME=time)
        transport.add(f"caom2ops/sync?ID=plane-{index}&", fits_bytes(fits.HDUList([cutout])))
    return transport


@pytest.fixture
def votable():
    return make_votable


@pytest.fixture
def hips(transport):
    """The HiPS service of the CDS, with one image for every request."""
    transport.add("hips2fits", fits_bytes(fits.HDUList([image(20, 0.258)])))
    return transport


@pytest.fixture
def legacy(transport):
    """The server of the sky viewer of the Legacy Surveys, for any bands."""
    def cutout(url):
        query = parse_qs(urlparse(url).query, keep_blank_values=True)
        bands, side = query["bands"][0], int(query["size"][0])
        scale = float(query["pixscale"][0])
        header = image(side, scale).header
        header.update({"SURVEY": "LegacySurvey", "VERSION": "DR10", "BANDS": bands, "IMAGETYP": "IMAGE"})
        header.update({f"BAND{index}": band for index, band in enumerate(bands)})
        planes = np.stack([np.full((side, side), "griz".index(band) + 1, np.float32) for band in bands])
        planes = planes[0] if len(bands) == 1 else planes
        hdus = [fits.PrimaryHDU(planes, header)]
        if "invvar" in query:
            hdus.append(fits.ImageHDU(4 * planes, header))
            hdus[1].header["IMAGETYP"] = "INVVAR"
        return fits_bytes(fits.HDUList(hdus))

    transport.add("viewer/fits-cutout", cutout)
    return transport


SIA = """<vosi:capabilities xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0"
xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<capability standardID="ivo://ivoa.net/std/SIA#query-2.0"><interface xsi:type="vs:ParamHTTP" role="std" version="2.0">
<accessURL use="base">{url}</accessURL></interface></capability></vosi:capabilities>"""
OBSCORE = [("obs_id", "char"), ("dataproduct_type", "char"), ("dataproduct_subtype", "char"), ("calib_level", "int"),
           ("energy_bandpassname", "char"), ("t_exptime", "double"), ("s_ra", "double"), ("s_dec", "double"),
           ("access_url", "char"), ("access_format", "char")]


@pytest.fixture
def sia(transport, monkeypatch):
    """A service with two stacks in r and one in g, with datalinks to SODA cutouts."""
    from pyvo.utils import vocabularies

    terms = {name: {"wider": [], "narrower": []} for name in ("this", "cutout", "proc", "auxiliary", "preview")}
    monkeypatch.setattr(vocabularies, "get_vocabulary", lambda name, **options: {"terms": terms})
    transport.add("sia.test/sia/capabilities", SIA.format(url="https://sia.test/sia/v2query"))
    rows = [(name, "image", "science", level, band, time, 229.59, 42.82, f"https://sia.test/links?ID={name}",
             "application/x-votable+xml;content=datalink")
            for name, level, band, time in (("shallow", 3, "r", 90), ("deep", 3, "r", 900), ("raw", 1, "r", 9000),
                                            ("green", 3, "g", 90))]
    transport.add("sia.test/sia/v2query", make_votable(OBSCORE, rows))
    for name in ("shallow", "deep", "raw", "green"):
        columns = [("ID", "char"), ("access_url", "char"), ("service_def", "char"), ("semantics", "char")]
        links = [(name, f"https://sia.test/{name}.fits", "", "#this"), (name, "", f"soda-{name}", "#cutout")]
        transport.add(f"sia.test/links?ID={name}", make_votable(
            columns, links, CUTOUT.format(id=name).replace("https://cadc.test/caom2ops/sync", "https://sia.test/soda")))
        transport.add(f"sia.test/soda?ID={name}&", fits_bytes(fits.HDUList([image(30, 0.2, BUNIT="nanomaggy")])))
    return transport


@pytest.fixture
def irsa(transport):
    """IRSA with the Euclid mosaics of two tiles."""
    transport.add("irsa.ipac.caltech.edu/SIA/capabilities", SIA.format(url="https://irsa.ipac.caltech.edu/SIA"))
    rows = [(f"{tile}_{band}", "image", kind, 3, band, 1, ra, 42.82, f"https://irsa.test/ibe/{tile}-{band}-{kind}.fits",
             "image/fits")
            for tile, ra in ((1, 229.0), (2, 229.6)) for band in ("VIS", "Y", "J", "H", "DECAM_g")
            for kind in ("science", "noise")]
    transport.add("irsa.ipac.caltech.edu/SIA?", make_votable(OBSCORE, rows))
    transport.add("irsa.test/ibe/", fits_bytes(fits.HDUList([image(20, 0.1, MAGZERO=23.9)])))
    return transport

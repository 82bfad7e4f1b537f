def write_cube(cube, path, overwrite=False):
    raise NotImplementedError("the FITS writer")

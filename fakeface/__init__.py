"""fakeface: trains, compares and explains detectors of computer-made faces."""

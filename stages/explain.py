"""Show what the detectors get wrong and where they look: all errors, easiest and hardest test images, Grad-CAM.

Reads   data/split, models/, reports/evaluate/predictions.csv and params.yaml (base, explain)
Writes  reports/explain/index.html (read this one), errors.csv, explain.json and figures/*.jpg
Takes   about 9 s of one core on the sample (150 test images, three approaches)
"""

from fakeface.core.run import run_stage

if __name__ == "__main__":
    run_stage("fakeface.explain.stage:explain", __doc__, bound=True)

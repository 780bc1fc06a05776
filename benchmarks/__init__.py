"""Speed and memory, measured side by side with what people would otherwise use.

`python -m benchmarks` measures, writes `results.json`, and makes the page `README.md` and its
figures from it. Each case is a module with a function `measure(setting)`, the rivals written out
beside it; `page` says in words what the numbers mean.
"""

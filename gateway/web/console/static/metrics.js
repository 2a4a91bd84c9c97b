// Reading GET /metrics: the Prometheus text, and what can be said of two moments of it.

const LINE = /^(\w+)(?:\{(.*)\})?\s+(\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** name → [{ labels, value }] */
export function parseMetrics(text) {
  const families = new Map();
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found) continue;
    const labels = Object.fromEntries([...(found[2] || "").matchAll(LABEL)].map(([, name, value]) => [name, value]));
    const family = families.get(found[1]) || [];
    family.push({ labels, value: Number(found[3]) });
    families.set(found[1], family);
  }
  return families;
}

export const total = (families, name, keep = () => true) =>
  (families.get(name) || []).filter(({ labels }) => keep(labels)).reduce((sum, { value }) => sum + value, 0);

/** [upper bound, how many are at most that], summed over all other labels. */
export function buckets(families, name) {
  const sums = new Map();
  for (const { labels, value } of families.get(`${name}_bucket`) || []) {
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    sums.set(bound, (sums.get(bound) || 0) + value);
  }
  return [...sums].sort(([a], [b]) => a - b);
}

/** What came between two moments. */
export const between = (now, before) => now.map(([bound, value], index) => [bound, value - (before[index]?.[1] || 0)]);

/** The value below which the share `q` of all lies, even within its bucket; NaN of none. */
export function quantile(q, histogram) {
  const all = histogram.at(-1)?.[1] || 0;
  if (!all) return NaN;
  const rank = q * all;
  const at = histogram.findIndex(([, value]) => value >= rank);
  const [bound, value] = histogram[at];
  const [lower, below] = histogram[at - 1] || [0, 0];
  if (bound === Infinity) return lower;
  return lower + ((bound - lower) * (rank - below)) / (value - below);
}

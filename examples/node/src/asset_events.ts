/** Failures and maintenance of one asset, and the time since them, by the rule in `metadata.window.channels`. */

const MOST_SECONDS = 3650 * 86_400;
const FAILURE = "failure";
const NAME = /^(failure|maintenance)(:.*\S.*)?$/s;

export class AssetEvents {
  /** Microseconds since 1970 by the name of the event, ascending. */
  private readonly times = new Map<string, number[]>();

  /**
   * Take an event, in any order of time.
   *
   * @param event `failure` or `maintenance`, or one with a kind: `maintenance:filter`.
   * @param microseconds When it ended; when it began, where it has no end.
   */
  add(event: string, microseconds: number): void {
    const [what, ...kind] = event.split(":");
    const name = kind.length > 0 ? `${what}:${kind.join(":").trim().toLowerCase()}` : event;
    if (!NAME.test(name)) throw new RangeError(`an event is failure or maintenance, with or without a kind: ${event}`);
    const times = this.times.get(name) ?? [];
    let place = times.length;
    while (place > 0 && times[place - 1]! > microseconds) place -= 1;
    times.splice(place, 0, microseconds);
    this.times.set(name, times);
  }

  /** Seconds from the latest row of an event that counts in `row`, as float32; NaN where none does. Microseconds. */
  since(counted: readonly string[], row: number, step: number): number {
    let latest = -Infinity;
    for (const [name, times] of this.times) {
      const what = name.split(":", 1)[0]!;
      if (!counted.includes(name) && !counted.includes(what)) continue;
      const newest = what === FAILURE ? row - step : row; // a failure counts in the rows after its own
      for (let place = times.length - 1; place >= 0; place -= 1) {
        const own = Math.ceil(times[place]! / step) * step;
        if (own > newest) continue;
        latest = Math.max(latest, own);
        break;
      }
    }
    return latest === -Infinity ? NaN : Math.fround(Math.min((row - latest) / 1_000_000, MOST_SECONDS));
  }
}

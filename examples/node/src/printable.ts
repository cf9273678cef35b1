/**
 * Text from outside (names of machines, messages of steps) as it may be shown on a terminal: every character that shows
 * nothing or steers a terminal becomes an escape sequence. Line feeds stay.
 */
export function printable(text: string): string {
  return text.replace(/(?!\n)[\p{C}\p{Zl}\p{Zp}]/gu, (character) => {
    return `\\u{${character.codePointAt(0)!.toString(16)}}`;
  });
}

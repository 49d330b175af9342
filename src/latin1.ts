/**
 * Bytes to latin1 strings and back. Beneath `Buffer.toString` and `Buffer.write`, which take longer to find out what encoding is
 * meant than a name takes to be copied, Node has these methods; they are old, and not documented.
 */
interface Latin1Bytes {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number, length: number): number;
}

/** The bytes from `start` up to `end` as characters. */
export function readLatin1(bytes: Buffer, start: number, end: number): string {
  return (bytes as unknown as Latin1Bytes).latin1Slice(start, end);
}

/** Writes the characters of `text`, one byte each, as far as there is room. @returns how many were written */
export function writeLatin1(bytes: Buffer, text: string, offset: number): number {
  return (bytes as unknown as Latin1Bytes).latin1Write(text, offset, text.length);
}

/** An option that can't be what was meant; the message is one sentence for the user. */
export class OptionError extends Error {
  constructor(sentence: string) {
    super(sentence);
    this.name = "OptionError";
  }
}

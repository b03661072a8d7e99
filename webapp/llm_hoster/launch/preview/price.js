// Amounts in whole millionths of an SU, as in catalogue/price.py: so both round alike.

const MILLIONTHS = 1_000_000n;
const OVERLAP_MINUTES = 10;

function millionths(su) {
  return BigInt(Math.round(su * 1_000_000));
}

function suText(suPerHour, hours = 1) {
  return tenths(millionths(suPerHour) * BigInt(hours), MILLIONTHS);
}

function shareText(amount, allocationSu) {
  const allocation = millionths(allocationSu);
  if ((amount * 1000n) / allocation < 1n) return "less than 0.1 %";
  return `${tenths(amount * 100n, allocation)} %`;
}

// Gives amount / unit with one decimal, half up.
function tenths(amount, unit) {
  const rounded = (amount * 20n + unit) / (2n * unit);
  return `${rounded / 10n}.${rounded % 10n}`;
}

// The first allocation whose pattern is the account's; * is any text and ? one character.
function findAllocation(account) {
  return data.allocations.find(({ accounts }) => {
    const escaped = accounts.replace(/[.+^${}()|[\]\\]/g, "\\$&");
    const pattern = escaped.replaceAll("*", ".*").replaceAll("?", ".");
    return new RegExp(`^${pattern}$`, "su").test(account);
  });
}

function priceText(choice, account) {
  const { qos, hours, chain } = choice;
  const rate = qos.su_per_hour;
  const text = `${suText(rate)} SU an hour, ${suText(rate, hours * chain)} SU for ${chainText(choice)}`;
  const allocation = findAllocation(account);
  if (!allocation) return text;
  const share = shareText(millionths(rate) * BigInt(hours * chain), allocation.su);
  return `${text}; ${share} of the account's ${allocation.su} SU per ${allocation.period}`;
}

// Of sessions in a row, each loads while the one before still serves: that time is paid twice.
function chainText({ qos, hours, chain }) {
  if (chain === 1) return hoursText(hours);
  const minutes = OVERLAP_MINUTES * (chain - 1);
  const su = tenths(millionths(qos.su_per_hour) * BigInt(minutes), 60n * MILLIONTHS);
  return `${chain} x ${hoursText(hours)}, of which at least ${minutes} minutes (${su} SU) overlap`;
}

function hoursText(hours) {
  return hours === 1 ? "1 hour" : `${hours} hours`;
}

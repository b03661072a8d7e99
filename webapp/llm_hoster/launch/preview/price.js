// Amounts in whole millionths of an SU, as in catalogue/price.py: so both round alike.

const MILLIONTHS = 1_000_000n;

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
  const { qos, hours } = choice;
  const text = `${suText(qos.su_per_hour)} SU an hour, ${suText(qos.su_per_hour, hours)} SU for ${hoursText(hours)}`;
  const allocation = findAllocation(account);
  if (!allocation) return text;
  const share = shareText(millionths(qos.su_per_hour) * BigInt(hours), allocation.su);
  return `${text}; ${share} of the account's ${allocation.su} SU per ${allocation.period}`;
}

function hoursText(hours) {
  return hours === 1 ? "1 hour" : `${hours} hours`;
}

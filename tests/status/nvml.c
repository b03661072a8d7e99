/* Stands in for the driver's library, libnvidia-ml.so.1: a node with as many GPUs as the environment says.
   NVML_CARDS: one word for each card: "free", "forbidden" (another job's), "cut" (into two slices), "lost".
   Signatures and numbers: nvml.h of CUDA 12. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, GPU_IS_LOST = 15 };
enum { CARDS_MAX = 8, SLICES = 2 };

typedef struct Device { int card, slice; char kind[16]; } Device; /* slice: -1 for a whole card */
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned int gpu, memory; } Use;

static Device cards[CARDS_MAX], slices[CARDS_MAX][SLICES];
static unsigned int count;

int nvmlInitWithFlags(unsigned int flags) {
  char text[256];
  strncpy(text, getenv("NVML_CARDS") ? getenv("NVML_CARDS") : "", sizeof text - 1);
  count = 0;
  for (char *word = strtok(text, " "); word && count < CARDS_MAX; word = strtok(NULL, " "), count++) {
    cards[count] = (Device){count, -1, ""};
    strncpy(cards[count].kind, word, 15);
    for (int slice = 0; slice < SLICES; slice++) slices[count][slice] = (Device){count, slice, "slice"};
  }
  return SUCCESS;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
const char *nvmlErrorString(int code) { return "an error of the stand-in"; }

int nvmlDeviceGetCount_v2(unsigned int *number) { *number = count; return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, Device **device) {
  if (index >= count) return INVALID_ARGUMENT;
  if (!strcmp(cards[index].kind, "forbidden")) return NO_PERMISSION;
  *device = &cards[index];
  return SUCCESS;
}
int nvmlDeviceGetUUID(Device *device, char *uuid, unsigned int length) {
  snprintf(uuid, length, device->slice < 0 ? "GPU-%d%d%d%d-aa" : "MIG-%d%d%d%d-b%d", device->card, device->card,
           device->card, device->card, device->slice);
  return SUCCESS;
}
int nvmlDeviceGetName(Device *device, char *name, unsigned int length) {
  snprintf(name, length, device->slice < 0 ? "NVIDIA T%d" : "NVIDIA T%d MIG 1g.5gb", device->card);
  return SUCCESS;
}
int nvmlDeviceGetMigMode(Device *device, unsigned int *current, unsigned int *pending) {
  if (device->card == 0 && strcmp(device->kind, "cut")) return NOT_SUPPORTED; /* an older card */
  *current = *pending = !strcmp(device->kind, "cut");
  return SUCCESS;
}
int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned int *number) { *number = 7; return SUCCESS; }
int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned int index, Device **slice) {
  if (index >= SLICES) return NOT_FOUND;
  *slice = &slices[device->card][index];
  return SUCCESS;
}
int nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
  if (!strcmp(device->kind, "lost")) return GPU_IS_LOST;
  unsigned long long gib = 1ULL << 30, total = (device->slice < 0 ? 80 : 5) * gib;
  *memory = (Memory){total, total - (device->card + 1) * gib, (device->card + 1) * gib};
  return SUCCESS;
}
int nvmlDeviceGetUtilizationRates(Device *device, Use *use) {
  if (device->slice >= 0) return NOT_SUPPORTED;
  if (!strcmp(device->kind, "lost")) return GPU_IS_LOST;
  *use = (Use){97, 40};
  return SUCCESS;
}
int nvmlDeviceGetTemperature(Device *device, int sensor, unsigned int *celsius) {
  if (device->slice >= 0 || sensor != 0) return INVALID_ARGUMENT;
  if (!strcmp(device->kind, "lost")) return GPU_IS_LOST;
  *celsius = 60 + device->card;
  return SUCCESS;
}
int nvmlDeviceGetPowerUsage(Device *device, unsigned int *milliwatts) {
  if (!strcmp(device->kind, "lost")) return GPU_IS_LOST;
  *milliwatts = 312500;
  return SUCCESS;
}

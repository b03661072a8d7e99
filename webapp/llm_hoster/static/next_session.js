// Without script the person presses the button.
document.getElementById("next-session").submit();

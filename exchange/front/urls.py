"""Addresses of the front of house: what every visitor and member finds first."""

from django.urls import path

from exchange.front import views

app_name = "front"
urlpatterns = [
    path("", views.home, name="home"),
    path("about/", views.about, name="about"),
    path("subject/", views.subject, name="subject"),
    path("workplace/", views.workplace, name="workplace"),
    path("account/", views.account, name="account"),
    path("join/", views.join, name="join"),
    path("organizations/<str:ref>/", views.organization, name="organization"),
    path("organizations/<str:ref>/keys/", views.register_card, name="register-card"),
]
